"""Memory and open files of a sweep do not grow with the cells, but for a line of numbers each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import HERE, PLACES

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc"),
]


def swept(path, cells):
    done = subprocess.run(
        [sys.executable, HERE / "many_cells.py", path, str(cells), "20"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": PLACES, "PATH": ""},
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_hundred_thousand_cells(tmp_path):
    few, many = swept(tmp_path / "few", 10_000), swept(tmp_path / "many", 100_000)
    print(few, many)
    assert many["files"] == few["files"] < 20
    assert many["units"] < 40
    # The index has about 250 bytes a cell, and the outcomes themselves would be 20 more.
    assert many["swept"] - few["swept"] < 90_000 * 500 / 2**20
    assert many["table"] - few["table"] < 90_000 * 1500 / 2**20
