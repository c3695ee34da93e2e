"""Every notebook runs from top to bottom, at small size, and is committed with its outputs."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def shown(cells):
    """Every text that the cells' outputs hold, by kind."""
    return [
        (kind, text)
        for cell in cells
        for output in cell.outputs
        for kind, text in output.get("data", {}).items()
    ]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """One store of compiled programs for all notebooks, which share most of them."""
    store = str(tmp_path_factory.mktemp("compiled"))
    ours = {
        "JAX_COMPILATION_CACHE_DIR": store,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    return ours | os.environ


def test_there_are_six():
    assert len(NOTEBOOKS) == 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_at_small_size(path, tmp_path, environment):
    # A process of its own: event loops and sockets end with it.
    command = [sys.executable, str(FOLDER / "execute.py"), path.stem, "--small", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = shown(code_cells(tmp_path / path.name))
    assert any(kind == "text/html" for kind, _ in outputs), "results show as HTML tables"
    if path.stem == "5_study":
        bars = [text for kind, text in outputs if "<progress" in text]
        assert len(bars) == 1
        assert "value='100.0'" in bars[0]
        assert "18/18 cells" in bars[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_carries_its_outputs_and_no_errors(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds and "error" not in kinds
    streams = [o.name for cell in cells for o in cell.outputs if o.output_type == "stream"]
    assert "stderr" not in streams
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_begins_with_a_question_and_ends_with_an_answer(path):
    first, *_, last = nbformat.read(path, as_version=4).cells
    assert "**Question.**" in first.source and "?" in first.source
    assert last.cell_type == "markdown" and "## Answer" in last.source
