"""A shop with planted truth: raw daily files as untidy as real ones, and what was planted beside them.

The truth is in `truth/`:

- `parameters.json`: arguments, BG/NBD and Gamma-Gamma parameters (days, euros), shares, random streams.
- `customers.csv`: for each customer the first purchase and the end of activity (days since the shop's first
  midnight, empty for who is still active), lambda, p, the mean of an order, purchases, euros spent and given
  back, country and last city. The dirt is not in it.
- `totals.json`: sums and revenue by day, in euros after discounts, of the `clean` shop and as `loaded` (with
  the returns without a sale that are loaded with a warning). `revenue_by_day` counts an order on the day of
  its first line, `revenue_by_line_day` each line on its own day; both on the shop's clock.
- `accounts.json`: for each file its records, how many of them a right ingestion loads, quarantines, drops as
  duplicates, and how many of the loaded it warns of; a repeated file has none and names what it `repeats`.
- `defects.csv`: file, line, kind and outcome of every planted defect.
"""
