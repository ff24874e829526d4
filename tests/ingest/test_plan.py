"""What a run plans: whatever files do and wherever it dies, the tables hold what the accounts say."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.ingest import plan
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.plan import BEARS, Plan, Row

FEED = "orders"
PATHS, READABLE, UNREADABLE = "abcd", "WXYZ", "!"


class Died(Exception):
    """Stands for a driver that is gone."""


@dataclass
class Table:
    """The contents whose rows are in a table, as Delta would write them."""

    rows: Counter[str] = field(default_factory=Counter)
    last: int = 0

    def write(self, brought: list[str], removed: list[str], number: int) -> None:
        """Append once, or merge by key where rows go."""
        if removed:
            kept = {content for content in self.rows if content not in removed}
            self.rows = Counter({*kept, *brought})
        elif number > self.last:
            self.rows.update(brought)
            self.last = number


@dataclass
class World:
    """Files, accounts and two tables; every write of a call may be its last."""

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    accounts: dict[str, Row] = field(default_factory=dict)
    tables: tuple[Table, Table] = field(default_factory=lambda: (Table(), Table()))
    quarantine: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    refuses: str = UNREADABLE
    clock: int = 0
    left: int = 1_000_000

    def write(self, path: str, content: str) -> None:
        self.clock += 1
        self.files[path] = (content, self.clock)

    def age(self) -> None:
        """A look-up changed."""
        for row in self.accounts.values():
            if row["status"] in BEARS:
                row["status"] = "stale"

    def ingest(self, replace: str = "", dies_after: int = 1_000_000, retry: bool = False) -> None:
        """Load as `load` does, up to some number of writes."""
        self.left, self.notes = dies_after, []
        started = [path for path, row in self.accounts.items() if row["status"] == "started"]
        if started:
            made = Plan()
            plan.resume(made, FEED, [self.look(path) for path in started if path in self.files], self.accounts)
            self.carry_out(made, max(self.accounts[path]["batch"] for path in started))
        found = [self.look(path).found for path in sorted(self.files)]
        doubtful = plan.to_inspect(found, self.accounts, replace, retry)
        made = Plan()
        plan.plan(made, FEED, found, [self.look(file.path) for file in doubtful], self.accounts, replace)
        self.clock += 1
        if made.is_wide:
            opened = [{**row, "batch": self.clock} for row in made.opened]
            self.put([row for row in opened if row["path"] not in self.accounts])
            self.put([row for row in opened if row["path"] in self.accounts])
        self.carry_out(made, self.clock)

    def carry_out(self, made: Plan, number: int) -> None:
        self.notes += made.notes
        for table in self.tables:
            self.pay()
            table.write([file.inspected.content for file in made.batch], made.removed, number)
        self.pay()
        self.quarantine -= {path for _, path in made.settled}
        self.quarantine |= {file.path for file in made.refused}
        loaded = [file.row("loaded", batch=number, records=ord(file.inspected.content)) for file in made.batch]
        paths = [row["path"] for row in [*loaded, *made.closed]]
        assert len(paths) == len({*paths, *[path for _, path in made.forgotten]}) - len(made.forgotten)
        self.put([*loaded, *made.closed], [path for _, path in made.forgotten])

    def put(self, rows: list[Row], forget: list[str] | None = None) -> None:
        self.pay()
        for path in forget or []:
            del self.accounts[path]
        self.accounts |= {row["path"]: dict(row) for row in rows}

    def pay(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Died

    def look(self, path: str) -> Inspected:
        content, written = self.files[path]
        found = Found(path, 1, datetime.fromtimestamp(0, UTC) + timedelta(seconds=written))
        return Inspected(found, content, (), 1, "wrong header" if content in self.refuses else None)

    def held(self) -> dict[str, tuple[str, str]]:
        return {path: (row["status"], row["file_hash"]) for path, row in sorted(self.accounts.items())}

    def is_right(self) -> None:
        """The tables hold each content that a path holds, once; one path bears its counts."""
        bearing = [row for row in self.accounts.values() if row["status"] in BEARS]
        held = {row["file_hash"] for row in self.accounts.values() if row["status"] in (*BEARS, "repeated")}
        assert len(bearing) == len({row["file_hash"] for row in bearing})
        assert {row["file_hash"] for row in bearing} == held
        assert [table.rows for table in self.tables] == [Counter(held)] * 2
        assert [row["records"] for row in bearing] == [ord(row["file_hash"]) for row in bearing]
        assert not [path for path, row in self.accounts.items() if row["status"] == "started"]
        assert self.quarantine == {path for path, row in self.accounts.items() if row["status"] == "refused"}


paths = st.sampled_from(PATHS)
steps = st.one_of(
    st.tuples(st.just("write"), paths, st.sampled_from(READABLE + UNREADABLE)),
    st.tuples(st.just("write"), paths, st.sampled_from(READABLE)),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.just("remove"), paths, st.none()),
    st.tuples(st.just("age"), st.none(), st.none()),
    st.tuples(st.just("mapping"), st.sampled_from(["!", "!W", "!XY"]), st.none()),
    st.tuples(st.just("ingest"), st.text(PATHS, max_size=3), st.integers(0, 12)),
    st.tuples(st.just("ingest"), st.text(PATHS, max_size=3), st.just(1_000_000)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_tables_hold_what_the_accounts_say_whatever_files_do_and_wherever_a_run_dies(told: list) -> None:
    world = World()
    for step, one, other in told:
        if step == "write":
            world.write(one, other)
        elif step == "rename" and one in world.files and one != other:
            world.files[other] = world.files.pop(one)
        elif step == "remove":
            world.files.pop(one, None)
        elif step == "age" and not [row for row in world.accounts.values() if row["status"] == "started"]:
            world.age()
        elif step == "mapping":
            world.refuses = one
        elif step == "ingest":
            try:
                world.ingest("".join(path for path in one if path in world.files), other, retry="d" in one)
            except Died:
                continue
            world.is_right()
    world.ingest()
    world.is_right()
    world.refuses = UNREADABLE
    world.ingest("".join(world.files))
    world.ingest(retry=True)
    world.is_right()
    there = {path: content for path, (content, _) in world.files.items() if content != UNREADABLE}
    assert {path: row["file_hash"] for path, row in world.accounts.items() if path in there} == there


def loaded(**files: str) -> World:
    world = World()
    for path, content in files.items():
        world.write(path, content)
    world.ingest()
    return world


def test_two_files_that_swap_contents_are_both_loaded_anew() -> None:
    world = loaded(a="X", b="Y")
    world.write("a", "Y")
    world.write("b", "X")
    world.ingest("ab")
    assert world.held() == {"a": ("loaded", "Y"), "b": ("loaded", "X")}
    world.is_right()


@pytest.mark.parametrize("dies_after", range(8))
def test_a_content_that_another_file_holds_stays_when_its_first_file_is_replaced(dies_after: int) -> None:
    world = loaded(a="X", b="X")
    assert world.held() == {"a": ("loaded", "X"), "b": ("repeated", "X")}
    world.write("a", "Y")
    world.files["c"] = world.files.pop("b")
    try:
        world.ingest("a", dies_after)
    except Died:
        world.ingest("a")
    held = world.held()
    assert held.pop("a") == ("loaded", "Y")
    assert sorted(held.values()) == [("loaded", "X"), ("repeated", "X")], "b, which is gone, and c"
    world.is_right()


def test_twins_that_are_both_rewritten_leave_nothing_of_the_old_content() -> None:
    world = loaded(a="X", b="X")
    world.write("a", "Y")
    world.write("b", "Z")
    world.ingest("a")
    assert world.held() == {"a": ("loaded", "Y"), "b": ("loaded", "Z")}
    world.is_right()


def test_a_replacement_that_changes_again_before_it_is_finished_takes_what_it_replaces_along() -> None:
    world = loaded(a="X")
    world.write("a", "Y")
    with pytest.raises(Died):
        world.ingest("a", dies_after=3)
    world.write("a", "Z")
    world.ingest()
    assert world.held() == {"a": ("loaded", "Z")}
    world.is_right()


def test_a_begun_file_that_is_refused_now_is_not_loaded() -> None:
    world = World()
    world.write("a", "X")
    with pytest.raises(Died):
        world.ingest(dies_after=3)
    world.refuses = "X"
    world.ingest()
    assert world.held() == {"a": ("refused", "X")}
    world.is_right()


def test_a_changed_file_is_told_in_every_call_and_why_it_cannot_take_the_place_of_its_rows() -> None:
    world = loaded(a="X", b="Y")
    world.write("a", "Z")
    world.write("b", UNREADABLE)
    for replace in ("", "b", ""):
        world.ingest(replace)
        assert world.notes == [
            "a changed since it was loaded; `crm ingest --replace a` swaps its rows",
            "b changed since it was loaded; it cannot be read, so its rows stay: wrong header",
        ]
    assert plan.to_inspect([world.look(path).found for path in "ab"], world.accounts, "", retry=False) == []


def test_a_file_loaded_with_an_older_look_up_is_told_where_it_is_gone_unless_another_holds_the_same() -> None:
    world = loaded(a="X", b="Y", c="Y")
    world.age()
    del world.files["a"], world.files["b"]
    world.ingest()
    assert world.notes == ["a is loaded with older values of a look-up and is gone: put it back, and it is loaded anew"]
    assert world.held() == {"a": ("stale", "X"), "b": ("repeated", "Y"), "c": ("loaded", "Y")}
    world.is_right()
