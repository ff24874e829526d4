"""The process from which Spark forks the Python workers of a local session, with their libraries read once for all.

Spark's own reads nothing, as a fork of a process with threads may stand still forever; each worker then reads pandas,
PyArrow and SciPy anew, in seconds. Of these only PyArrow starts a thread, to give memory back, and can do without.
"""

import gc
import importlib
import os
import sys
from pathlib import Path

# Spark puts archives of itself first, which Python would compile anew each time: what is installed is the same.
sys.path[:] = [at for at in sys.path if not any(at.startswith(f"{other}/pyspark/python/lib/") for other in sys.path)]

from pyspark import daemon  # noqa: E402 - of those that are left

LIBRARIES = ("numpy", "pandas", "pyarrow", "pyspark.worker", "scipy.linalg", "scipy.optimize", "scipy.special")
THREADS = Path("/proc/self/task")


def read_libraries() -> None:
    """Read what workers need, without a thread."""
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    for name in LIBRARIES:
        importlib.import_module(name)
    # PySpark collects after each task, and would look through all that these libraries hold.
    gc.freeze()


if __name__ == "__main__":
    if THREADS.is_dir():
        read_libraries()
        if len(list(THREADS.iterdir())) > 1:  # of a library that we do not know so: as Spark does it
            os.execv(sys.executable, [sys.executable, "-m", "pyspark.daemon", *sys.argv[1:]])  # noqa: S606 - ourselves
    daemon.manager()
