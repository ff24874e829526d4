"""The types that raw columns are declared as, and the patterns by which Spark reads days and times."""

import re

RAW_TYPE = re.compile(r"(string|int|bigint|double|boolean|decimal\((\d+),\s*(\d+)\)|(date|timestamp|instant)( .+)?)")
MOST_DIGITS = 38
PLAIN = re.compile(r"'[^']*'")
RUN = re.compile(r"([A-Za-z])\1*")
READABLE = re.compile(
    r"y{1,6}|M{1,4}|L{1,4}|d{1,2}|D{1,3}|G{1,4}|a|[hHkKms]{1,2}|S{1,9}|VV|z{1,4}|O|OOOO|[Xx]{1,5}|Z{1,5}"
)
OF_OFFSET = re.compile(r"[VzOXxZ]")


def fault(declared: str) -> str | None:
    """Say why no raw column can be declared so; None where one can."""
    found = RAW_TYPE.fullmatch(declared)
    if re.fullmatch(r"decimal\(\d+", declared):
        return f"type '{declared}' was cut at its comma: within braces YAML takes it whole in quotes alone"
    if found is None:
        return (
            f"type '{declared}' cannot be; allowed: string, int, bigint, double, boolean, decimal(p,s), "
            "date [pattern], timestamp [pattern], instant [pattern]"
        )
    if found[2] and not 0 < int(found[2]) <= MOST_DIGITS:
        return f"type '{declared}' cannot be: a decimal has 1 to {MOST_DIGITS} digits"
    if found[3] and int(found[3]) > int(found[2]):
        return f"type '{declared}' cannot be: of its {found[2]} digits no {found[3]} stand behind the point"
    return _pattern_fault(found[4], found[5].strip()) if found[5] else None


def _pattern_fault(kind: str, pattern: str) -> str | None:
    bare = PLAIN.sub("", pattern)
    strange = [run[0] for run in RUN.finditer(bare) if not READABLE.fullmatch(run[0])] + re.findall(r"['#{}]", bare)
    if strange:
        return f"pattern '{pattern}' cannot be read by Spark at '{strange[0]}'; text of its own stands in quotes: 'T'"
    if bare.count("[") != bare.count("]"):
        return f"pattern '{pattern}' opens and closes its brackets unevenly"
    if kind == "timestamp" and OF_OFFSET.search(bare):
        return f"pattern '{pattern}' bears an offset; declare it as an instant"
    return None
