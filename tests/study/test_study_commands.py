"""Studies on the command line, with the real engine: every sentence of the README's section."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

import jaxcnn
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.view import process

GRID = """
[study]
restarts = {restarts}
skip_impossible = {skip}
[fixed]
step_size = 0.1
[grid]
init_scale = {{ linspace = [0.5, 1.5, 3] }}
ratio = [2.0, 12.0]
[zip]
k = [9, 16]
p = [3, 4]
"""


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run the command line here, in a directory of its own: (status, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["jaxcnn", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            process.main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


def write(path, text):
    path.write_text(text)
    return path


def test_a_study_from_file_to_table(command, tmp_path):
    file = write(tmp_path / "study.toml", GRID.format(restarts=300, skip="false"))
    status, _, errors = command("sweep", file, "--out", "a")
    assert status == 2
    assert errors.startswith(f"jaxcnn: {file}: [grid] ratio = 12.0: must be at most k = 9")
    assert "skip_impossible = true" in errors
    assert not (tmp_path / "a").exists()

    write(file, GRID.format(restarts=300, skip="true"))
    status, shown, errors = command("sweep", file, "--out", "a")
    assert (status, errors) == (0, "")
    assert "9 of 9 cells complete, 2700 restarts" in shown
    first = {unit.name: unit.read_bytes() for unit in (tmp_path / "a/units").iterdir()}

    status, shown, _ = command("show", "a", "--json")
    found = json.loads(shown)
    assert (status, found["problems"]) == (0, [])
    assert [(row["k"], row["p"], row["ratio"], row["init_scale"]) for row in found["cells"]] == [
        *[(9, 3, 2.0, scale) for scale in (0.5, 1.0, 1.5)],
        *[(16, 4, ratio, scale) for ratio in (2.0, 12.0) for scale in (0.5, 1.0, 1.5)],
    ]

    # The same command again computes nothing; a larger count extends.
    write(file, GRID.format(restarts=500, skip="true"))
    for _ in range(2):
        assert command("sweep", file, "--out", "a")[0] == 0
    units = {unit.name: unit.read_bytes() for unit in (tmp_path / "a/units").iterdir()}
    assert first.items() <= units.items()
    assert len(units) == len(first) + 1
    run = RunDirectory.open(tmp_path / "a")
    assert run.costs()[:, 1].tolist() == [500] * 9

    status, _, errors = command("sweep", write(tmp_path / "other.toml", file.read_text().replace(
        "[study]", "[study]\nseed = 1")), "--out", "a")  # fmt: skip
    assert (status, len(errors.splitlines())) == (2, 1)
    assert "holds another study" in errors
    assert "seed is 0, not 1" in errors

    # Files for others, and the same words in Python.
    for name in ("a.csv", "a.parquet"):
        assert command("export", "a", name)[0] == 0
    exported = pd.read_csv("a.csv")
    pd.testing.assert_frame_equal(exported, pd.read_parquet("a.parquet"), check_dtype=False)
    assert list(exported.columns[:5]) == ["step_size", "k", "p", "ratio", "init_scale"]
    told = []
    table = jaxcnn.sweep(
        restarts=500, skip_impossible=True, fixed={"step_size": 0.1},
        grid={"init_scale": {"linspace": [0.5, 1.5, 3]}, "ratio": np.array([2.0, 12.0])},
        zip={"k": [9, 16], "p": [3, 4]}, progress=told.append,
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, exported.drop(columns="step_size"), check_dtype=False)
    assert told[-1].cells_done == 9

    status, shown, _ = command("verify", "a", "--fraction", "0.5")
    assert status == 0
    assert "9 units with" in shown
    assert "recomputed: all agree" in shown
    status, shown, _ = command("compare", "a", "--along", "init-scale", "--json")
    rows = json.loads(shown)["differences"]
    assert (status, len(rows)) == (0, 6)
    for row in rows:
        assert row["shared"]
        assert row["low"] <= row["difference"] <= row["high"]
    wide, narrow = (
        sum(row[f"{kind}high"] - row[f"{kind}low"] for row in rows) for kind in ("unpaired_", "")
    )
    assert narrow < 0.7 * wide


DECISION = """
[study]
seed = 3
max_restarts = 2000
[decision]
above = {above}
[fixed]
k = 9
p = 3
[grid]
ratio = {{ logspace = [0.5, 8, 3] }}
"""


def test_decisions_in_words(command, tmp_path):
    file = write(tmp_path / "level.toml", DECISION.format(above=0.6))
    assert command("sweep", file, "--out", "level")[0] == 0
    cells = json.loads(command("show", "level", "--json")[1])["cells"]
    assert [row["ratio"] for row in cells] == [0.5, 2.0, 8.0]
    assert [row["standing"] for row in cells] == ["below", "above", "above"]
    assert all((row["low"] > 0.6) == (row["standing"] == "above") for row in cells)
    file = write(tmp_path / "cell.toml", DECISION.format(above="{ ratio = 2 }"))
    status, shown, _ = command("sweep", file, "--out", "cell")
    assert status == 0
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][-1] == "answer"
    assert [line[-1] for line in lines[1:4]] == ["below", "-", "above"]
    cells = json.loads(command("show", "cell", "--json")[1])["cells"]
    assert [row["standing"] for row in cells] == ["below", "enough", "above"]


def test_a_half_width_that_undecided_runs_forbid_is_said(command, tmp_path):
    text = """
[study]
half_width = 0.02
[fixed]
k = 9
p = 3
step_size = 0.1
max_steps = 24
[grid]
ratio = [0.5, 2]
"""
    status, shown, _ = command("sweep", write(tmp_path / "study.toml", text), "--out", "a")
    assert status == 0
    assert "2 cells are hidden by undecided runs: raise max_steps" in shown
    cells = json.loads(command("show", "a", "--json")[1])["cells"]
    assert all(row["half_width"] > 0.02 for row in cells)


def test_shards_of_one_directory_and_of_their_own(command, tmp_path):
    file = write(tmp_path / "study.toml", GRID.format(restarts=100, skip="true"))
    for shard in ("0/2", "1/2"):
        assert command("sweep", file, "--out", "same", "--shard", shard)[0] == 0
        own = shard[0]
        status, shown, _ = command("sweep", file, "--out", own, "--shard", shard)
        assert status == 0
        assert "9 of 9 cells complete" not in shown
    assert command("merge", "0", "1", "--out", "merged")[:2] == (
        0, "merged: 2 unit files, 900 restarts counted\n"
    )  # fmt: skip
    assert command("sweep", file, "--out", "whole")[0] == 0
    for name in ("same", "merged", "whole"):
        assert command("export", name, f"{name}.csv")[0] == 0
    tables = {(tmp_path / f"{name}.csv").read_bytes() for name in ("same", "merged", "whole")}
    assert len(tables) == 1
    for shard in ("2/2", "x", "1", "-1/2", "1/0"):
        status, _, errors = command("sweep", file, "--out", "new", "--shard", shard)
        assert (status, len(errors.splitlines())) == (2, 1)
        assert "must be i/n with 0 <= i < n" in errors
        assert not (tmp_path / "new").exists()
