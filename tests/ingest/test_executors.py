"""What runs on executors needs NumPy, SciPy, pandas and PyArrow only: the others are not there."""

import subprocess
import sys
from pathlib import Path

BLOCKED = ("pydantic", "pydantic_core", "yaml", "typer", "rich", "plotly", "jinja2")
SHIPPED = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
from datetime import UTC, datetime
from functools import partial
import pyarrow as pa
from crm_spark.ingest import files, records
from crm_spark.ingest.raw import Format, fields

root, form = {root!r}, Format("csv", columns=("a",))
(seen,) = files._look(iter([pa.RecordBatch.from_pydict({{"path": ["file.csv"]}})]), root, form)
content = seen.column("content")
file = pa.RecordBatch.from_pydict({{"file": [1], "path": [root + "/file.csv"], "digest": content, "content": content}})
split = partial(fields, form=form, width=1, wanted=[0])
(read,) = records._read(iter([file]), form, split, datetime.now(UTC))
print(read.column("raw").to_pylist() + read.column("field_0").to_pylist())
"""


def test_what_is_shipped_to_executors_is_imported_without_what_they_lack(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("a\n1\n2\n")
    done = subprocess.run(
        [sys.executable, "-c", SHIPPED.format(blocked=BLOCKED, root=str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "['1', '2', '1', '2']\n", "text, then its only field"
