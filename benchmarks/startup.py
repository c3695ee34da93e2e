"""Import times and the first answer, each in a fresh process; the least of several.

python -m benchmarks startup
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time

REPEATS = 3
IMPORTS = {
    "jax": "import jax",
    "jaxcnn and jax": "import jaxcnn, jax",
    "jaxcnn alone": "import jaxcnn",
    "jaxcnn.estimate": "import jaxcnn; jaxcnn.estimate",
    "numpy": "import numpy",
    "numba": "import numba",
    "torch": "import torch",
    "diffrax": "import diffrax",
}
COMMANDS = {
    "jaxcnn --help": ("--help",),
    "jaxcnn estimate, 5000 restarts": ("estimate", "--k", "25", "--ratio", "4"),
    "jaxcnn exact": ("exact", "--k", "25", "--ratio", "4"),
    "jaxcnn table1": ("table1",),
}


def import_seconds(statement: str) -> float:
    """Seconds of the statement alone, the interpreter's own start excluded."""
    code = f"import time; b = time.perf_counter(); {statement}; print(time.perf_counter() - b)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def command_seconds(arguments) -> float:
    """Wall seconds of a whole process, compilation included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "jaxcnn", *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def main(out):
    there = {
        name: code
        for name, code in IMPORTS.items()
        if importlib.util.find_spec(name.split()[0].split(".")[0])
    }
    seconds: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(REPEATS):  # taken in turn, so that a slow moment falls on all of them
        for name, code in there.items():
            seconds[name].append(import_seconds(code))
    least = {name: min(values) for name, values in seconds.items()}
    rows = [(name, value, value - least["jax"]) for name, value in least.items()]
    out.table("startup: import time in a fresh process", ("import", "seconds", "less jax"), rows)
    rows = [(name, command_seconds(a)) for name, a in COMMANDS.items()]
    out.table("startup: whole processes, first byte to last", ("command", "seconds"), rows)
