"""The conformed tables: what every source is brought to, whatever its files look like.

Ids are text and stay as they came. Money is in the lake's one currency. An instant (`…_at`) is UTC; the
business day (`…_on`) is the date in the lake's business zone, and days are counted by that column alone.
"""

from crm_spark.core.contracts import Field, Table

ORIGIN = [
    Field("source", "string", "the source that said it"),
    Field("file_hash", "string", "the file that held it: SHA-256 of source, feed and its uncompressed bytes"),
    Field("row_version", "decimal(38,9)", "what orders versions of a row with a natural key", nullable=True),
    Field("row_hash", "string", "hash of the raw record; breaks ties between versions"),
    Field("run_id", "string", "the run that loaded it"),
    Field("loaded_at", "timestamp", "when it was loaded"),
]
ORIGIN_NAMES = [column.name for column in ORIGIN]

CUSTOMERS = Table(
    "customers",
    "Who the customers are: each attribute as last known by the time of the event that told it.",
    owns="keys",
    loaded=True,
    version=2,
    key=["customer_id"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("name", "string", "full name", nullable=True, personal=True),
        Field("email", "string", "e-mail address", nullable=True, personal=True),
        Field("phone", "string", "telephone number", nullable=True, personal=True),
        Field("birth_date", "date", "day of birth", nullable=True, personal=True),
        Field("gender", "string", "gender as the source says it", nullable=True, personal=True),
        Field("street", "string", "street and number", nullable=True, personal=True),
        Field("postcode", "string", "postal code", nullable=True, personal=True),
        Field("city", "string", "town", nullable=True, personal=True),
        Field("region", "string", "state or region", nullable=True),
        Field("country", "string", "country as the source says it", nullable=True),
        Field("segment", "string", "group that the source itself puts the customer in", nullable=True, personal=True),
        Field("age_group", "string", "age group as the source says it", nullable=True, personal=True),
        Field("income_group", "string", "income group as the source says it", nullable=True, personal=True),
        Field("household", "string", "make-up of the household as the source says it", nullable=True, personal=True),
        Field("registered_on", "date", "day of registration", nullable=True),
        Field(
            "attributes",
            "string",
            "what else the source knows of the customer: a JSON object",
            nullable=True,
            personal=True,
        ),
    ],
)

PRODUCTS = Table(
    "products",
    "What is sold: each attribute as last known by the time of the event that told it.",
    owns="keys",
    loaded=True,
    key=["product_id"],
    columns=[
        Field("product_id", "string", "the product"),
        Field("title", "string", "what it is called", nullable=True),
        Field("category", "string", "group of products", nullable=True),
        Field("subcategory", "string", "group within the category", nullable=True),
        Field("brand", "string", "brand", nullable=True),
        Field("supplier", "string", "who makes or delivers it", nullable=True),
        Field("size", "string", "package size as the source says it", nullable=True),
        Field("cost", "decimal(18,4)", "what one piece costs the shop", unit="money", nullable=True),
    ],
)

KNOWN_ON = Field(
    "known_on", "date", "business day of `known_at`; rows of older versions have none", unit="day", nullable=True
)

CUSTOMER_HISTORY = Table(
    "customer_history",
    "What each file said of a customer, and at what time: from it `customers` is made.",
    owns="batch",
    loaded=True,
    version=3,
    key=["customer_id", "known_at", "row_hash", "file_hash"],
    columns=[
        CUSTOMERS["customer_id"],
        Field("known_at", "timestamp", "when it held"),
        *[column for column in CUSTOMERS.columns if column.nullable],
        *[column for column in ORIGIN if column.name != "row_version"],
        KNOWN_ON,
    ],
)

PRODUCT_HISTORY = Table(
    "product_history",
    "What each file said of a product, and at what time: from it `products` is made.",
    owns="batch",
    loaded=True,
    version=2,
    key=["product_id", "known_at", "row_hash", "file_hash"],
    columns=[
        PRODUCTS["product_id"],
        Field("known_at", "timestamp", "when it held"),
        *[column for column in PRODUCTS.columns if column.nullable],
        *[column for column in ORIGIN if column.name != "row_version"],
        KNOWN_ON,
    ],
)

ORDER_LINES = Table(
    "order_lines",
    "Every line of every order: a sale, a return or an adjustment. The only order table.",
    owns="keys",
    loaded=True,
    key=["line_id"],
    cluster_by=["ordered_on"],
    skip_by=["order_id"],
    changes=True,
    columns=[
        Field("line_id", "string", "the line: a hash of its natural key, or of file, record and copy"),
        Field("order_id", "string", "the order or invoice"),
        Field("line_number", "int", "the line's place in its order", nullable=True),
        Field("customer_id", "string", "who bought; missing for anonymous buyers", nullable=True, personal=True),
        Field("product_id", "string", "what was bought", nullable=True),
        Field("kind", "string", "sale, return or adjustment"),
        Field("ordered_at", "timestamp", "when"),
        Field("ordered_on", "date", "business day", unit="day"),
        Field("quantity", "decimal(18,4)", "pieces; negative for a return", unit="piece"),
        Field("unit_price", "decimal(18,4)", "price of one piece", unit="money", nullable=True),
        Field("discount", "decimal(18,4)", "what was taken off the line", unit="money", nullable=True),
        Field("amount", "decimal(18,4)", "what the line brings; negative for a return", unit="money"),
        Field("channel", "string", "web, store, app, …", nullable=True),
        Field("store_id", "string", "where", nullable=True),
        Field("campaign_id", "string", "the campaign it is put down to", nullable=True),
        *ORIGIN,
    ],
)

EVENTS = Table(
    "events",
    "What people do on site and in the app.",
    owns="keys",
    loaded=True,
    key=["event_id"],
    cluster_by=["occurred_on"],
    changes=True,
    columns=[
        Field("event_id", "string", "the event: a hash of its natural key, or of file, record and copy"),
        Field("session_id", "string", "the visit", nullable=True),
        Field("customer_id", "string", "who, where known", nullable=True, personal=True),
        Field("visitor_id", "string", "cookie or device, where known", nullable=True, personal=True),
        Field("kind", "string", "view, cart, search, purchase, …"),
        Field("occurred_at", "timestamp", "when"),
        Field("occurred_on", "date", "business day", unit="day"),
        Field("product_id", "string", "the product it is about", nullable=True),
        Field("page", "string", "page or screen", nullable=True),
        Field("channel", "string", "web, app, …", nullable=True),
        Field("value", "double", "a number that the event bears", nullable=True),
        *ORIGIN,
    ],
)

FEEDBACK = Table(
    "feedback",
    "What customers say: ratings, complaints, text.",
    owns="keys",
    loaded=True,
    key=["feedback_id"],
    changes=True,
    columns=[
        Field("feedback_id", "string", "the statement: a hash of its natural key, or of file, record and copy"),
        Field("customer_id", "string", "who, where known", nullable=True, personal=True),
        Field("product_id", "string", "about what", nullable=True),
        Field("order_id", "string", "about which order", nullable=True),
        Field("kind", "string", "rating, complaint, review, survey, …"),
        Field("given_at", "timestamp", "when"),
        Field("given_on", "date", "business day", unit="day"),
        Field("rating", "double", "the rating, on the source's scale", nullable=True),
        Field("text", "string", "what was said", nullable=True, personal=True),
        *ORIGIN,
    ],
)

CAMPAIGNS = Table(
    "campaigns",
    "What was done to win and keep customers.",
    owns="keys",
    loaded=True,
    key=["campaign_id"],
    columns=[
        Field("campaign_id", "string", "the campaign"),
        Field("title", "string", "what it is called", nullable=True),
        Field("kind", "string", "mailing, coupon, call, …", nullable=True),
        Field("channel", "string", "by which way", nullable=True),
        Field("starts_on", "date", "first day", nullable=True),
        Field("ends_on", "date", "last day", nullable=True),
        Field("budget", "decimal(18,4)", "what it may cost", unit="money", nullable=True),
        *ORIGIN,
    ],
)

CONTACTS = Table(
    "contacts",
    "Who was addressed by which campaign, with which variant, at what cost.",
    owns="keys",
    loaded=True,
    key=["contact_id"],
    changes=True,
    columns=[
        Field("contact_id", "string", "the contact: a hash of its natural key, or of file, record and copy"),
        Field("campaign_id", "string", "the campaign"),
        Field("customer_id", "string", "who was addressed", personal=True),
        Field("contacted_at", "timestamp", "when", nullable=True),
        Field("contacted_on", "date", "business day", unit="day", nullable=True),
        Field("variant", "string", "which variant; a control group is one too", nullable=True),
        Field("channel", "string", "by which way", nullable=True),
        Field("cost", "decimal(18,4)", "what it cost", unit="money", nullable=True),
        *ORIGIN,
    ],
)

RESPONSES = Table(
    "responses",
    "Who answered which campaign.",
    owns="keys",
    loaded=True,
    key=["response_id"],
    changes=True,
    columns=[
        Field("response_id", "string", "the response: a hash of its natural key, or of file, record and copy"),
        Field("campaign_id", "string", "the campaign"),
        Field("customer_id", "string", "who answered", personal=True),
        Field("responded_at", "timestamp", "when", nullable=True),
        Field("responded_on", "date", "business day", unit="day", nullable=True),
        Field("kind", "string", "redeemed, clicked, opted out, …", nullable=True),
        Field("coupon_id", "string", "the coupon that was used", nullable=True),
        Field("product_id", "string", "the product it is about", nullable=True),
        *ORIGIN,
    ],
)

CONTRACTS = Table(
    "contracts",
    "Who agreed on what for how long at a time: subscriptions, memberships.",
    owns="keys",
    loaded=True,
    key=["contract_id"],
    columns=[
        Field("contract_id", "string", "the contract"),
        Field("customer_id", "string", "who made it", personal=True),
        Field("plan", "string", "what was agreed on, as the source calls it", nullable=True),
        Field("started_on", "date", "first day", unit="day"),
        Field("period", "int", "length of a period, in `period_unit`; at the end of each it is renewed or ends"),
        Field("period_unit", "string", "day or month"),
        Field("price", "decimal(18,4)", "what a period costs, paid when it begins", unit="money"),
        Field("cancelled_on", "date", "day on which notice was given, where that is known", unit="day", nullable=True),
        Field("ended_on", "date", "day on which it ends; missing while no end is known", unit="day", nullable=True),
        *ORIGIN,
    ],
)

VERDICTS = Table(
    "verdicts",
    "What analysts said of a period of a series: whether it is out of the ordinary.",
    owns="keys",
    loaded=True,
    key=["verdict_id"],
    columns=[
        Field("verdict_id", "string", "the verdict: a hash of its natural key, or of file, record and copy"),
        Field("grouping", "string", "whose series it is, as `behaviour_findings` says it"),
        Field("key", "string", "which of them", personal=True),
        Field("measure", "string", "purchases, spend, visits or ratings"),
        Field("day", "date", "the first day of the period", unit="day"),
        Field("is_anomaly", "boolean", "whether it is out of the ordinary"),
        Field("told_at", "timestamp", "when it was said"),
        *ORIGIN,
    ],
)

CONFORMED = {
    table.name: table
    for table in (
        CUSTOMERS, PRODUCTS, ORDER_LINES, EVENTS, FEEDBACK, CAMPAIGNS, CONTACTS, RESPONSES, CONTRACTS, VERDICTS,
    )
}  # fmt: skip
HISTORIES = {"customers": CUSTOMER_HISTORY, "products": PRODUCT_HISTORY}
MADE_NAMES = [*ORIGIN_NAMES, KNOWN_ON.name]  # no mapping tells them: the ingestion itself does


def cell_names(name: str) -> list[str]:
    """Give the columns of a conformed row that its record tells: not those of origin, but what orders its versions."""
    told = HISTORIES.get(name, CONFORMED[name]).names
    return [column for column in told if column not in MADE_NAMES or column == "row_version"]
