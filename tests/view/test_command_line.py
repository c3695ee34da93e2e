"""The command line as a user meets it: one process a test only where the process matters."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import typer

from jaxcnn import __version__
from jaxcnn.base.cell import cell_options
from jaxcnn.view import cli
from jaxcnn.view import process as shell

CELL = ["--k", "9", "--ratio", "2", "--step-size", "0.05"]
STUDY = """
[study]
restarts = 50
[fixed]
step_size = 0.1
[grid]
k = [9]
ratio = [1, 2]
"""


@pytest.fixture
def jaxcnn(monkeypatch, capsys):
    """Run the command line here: (status, standard output, standard error)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["jaxcnn", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            shell.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return call


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "jaxcnn", *words], capture_output=True, text=True, **options
    )


def test_help_loads_nothing_heavy_and_is_quick():
    code = """
import sys
sys.argv = ["jaxcnn", "--help"]
from jaxcnn.view.process import main
try:
    main()
except SystemExit:
    pass
print([m for m in ("jax", "numpy", "pandas", "matplotlib", "scipy") if m in sys.modules])
"""
    # Processor time, the best of three: other work on the machine must not fail the test.
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.stdout.splitlines()[-1] == "[]", done
    assert "table1" in done.stdout
    assert min(seconds) < 0.5


def test_compiled_programs_are_kept_where_the_user_lets_them_be(monkeypatch):
    name = "JAX_COMPILATION_CACHE_DIR"
    for chosen, home, kept in (
        ("/mine", "/home", "/mine"),
        ("", "/home", ""),
        (None, "/home", os.path.join("/home", "jaxcnn")),
        (None, "relative", None),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        monkeypatch.delenv(name, raising=False)
        if chosen is not None:
            monkeypatch.setenv(name, chosen)
        shell._keep_compiled()
        assert os.environ.get(name) == kept


def test_every_command_is_declared_and_done():
    import importlib

    for name, module in cli._DOES.items():
        assert callable(importlib.import_module(module).run), name
    assert {command.callback.__name__ for command in cli.app.registered_commands} == set(cli._DOES)


def test_options_are_the_fields_of_a_cell(jaxcnn):
    status, out, _ = jaxcnn("estimate", "--help")
    assert status == 0
    for option in cell_options():
        assert "--" + option.name.replace("_", "-") in out


def test_version(jaxcnn):
    assert jaxcnn("--version") == (0, f"jaxcnn {__version__}\n", "")


def test_estimate_json_has_the_documented_keys(jaxcnn):
    status, out, err = jaxcnn("estimate", *CELL, "--restarts", 200, "--json")
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert list(found) == [
        "p_global", "low", "high", "confidence", "restarts", "counts", "mean_steps", "max_steps",
        "utilisation", "problem",
    ]  # fmt: skip
    assert sum(found["counts"].values()) == found["restarts"] == 200
    assert found["low"] <= found["p_global"] <= found["high"]


def test_estimate_in_blocks_is_the_estimate(jaxcnn, monkeypatch):
    from jaxcnn.study.estimate import estimate
    from jaxcnn.view.commands import estimate as command

    monkeypatch.setattr(command, "_SMALLEST", 64)
    _, out, _ = jaxcnn("estimate", *CELL, "--restarts", 200, "--json")
    from jaxcnn.base.cell import Cell

    whole = estimate(Cell(k=9, ratio=2, step_size=0.05), restarts=200)
    assert json.loads(out)["counts"] == whole.counts.as_dict()


def test_estimate_prints_lines_without_escapes_in_a_pipe(jaxcnn):
    status, out, err = jaxcnn("estimate", *CELL, "--restarts", 200)
    assert (status, err) == (0, "")
    assert out.startswith("P(global) = ")
    assert "\x1b" not in out


def test_exact_json_has_the_documented_keys(jaxcnn):
    status, out, err = jaxcnn("exact", *CELL, "--tolerance", "1e-6", "--json")
    assert (status, err) == (0, "")
    assert list(json.loads(out)) == ["p_global", "error", "threshold_evaluations", "problem"]


def test_exact_of_several_patch_sizes_and_by_draws(jaxcnn):
    status, out, err = jaxcnn("exact", *CELL, "--p", "3,6", "--tolerance", "1e-6", "--json")
    assert (status, err) == (0, "")
    few, many = json.loads(out)
    assert (few["problem"]["p"], many["problem"]["p"]) == (3, 6)
    assert 0 < few["p_global"] < many["p_global"] < 1
    _, out, _ = jaxcnn("exact", *CELL, "--p", "3,6", "--tolerance", "1e-6")
    assert [line[:6] for line in out.splitlines()] == ["p = 3:", "p = 6:"]
    _, out, _ = jaxcnn("exact", *CELL, "--draws", 100, "--confidence", 0.999, "--json")
    drawn = json.loads(out)
    assert drawn["low"] <= 1 - many["p_global"] <= drawn["high"]


def test_table1_json_csv_and_figure(jaxcnn, tmp_path):
    status, out, err = jaxcnn(
        "table1", "--restarts", 100, "--no-exact", "--json", "--out", tmp_path / "t"
    )
    assert (status, err) == (0, "")
    cells = json.loads(out)["cells"]
    assert len(cells) == 36
    for cell in cells:
        assert list(cell)[:6] == ["k", "ratio", "p_global", "low", "high", "paper"]
        assert list(cell["counts"]) == ["global", "spurious", "diverged", "undecided"]
        assert sum(cell["counts"].values()) == 100
    assert {path.name for path in (tmp_path / "t").iterdir()} == {
        "table1.csv",
        "table1.png",
        "table1.pdf",
    }


def test_landscape_json(jaxcnn):
    status, out, _ = jaxcnn("landscape", "--k", 25, "--ratio", 4, "--json")
    kinds = [point["kind"] for point in json.loads(out)["points"]]
    assert (status, kinds) == (0, ["global", "edge", "spurious"])


def test_trajectory_writes_csv_and_figure(jaxcnn, tmp_path):
    for name in ("a.csv", "a.png"):
        status, out, err = jaxcnn("trajectory", *CELL, "--steps", 60, "--out", tmp_path / name)
        assert (status, err) == (0, ""), err
        assert (tmp_path / name).stat().st_size > 100
    assert (tmp_path / "a.csv").read_text().startswith("step,loss,angle,")


def test_studies_from_file_to_report(jaxcnn, tmp_path):
    file, one, two = tmp_path / "s.toml", tmp_path / "a", tmp_path / "b"
    file.write_text(STUDY)
    assert jaxcnn("sweep", file, "--out", one)[0] == 0
    assert jaxcnn("sweep", file, "--out", one)[0] == 0
    status, out, _ = jaxcnn("show", one, "--json")
    assert [cell["restarts"] for cell in json.loads(out)["cells"]] == [50, 50]
    assert jaxcnn("merge", one, one, "--out", two)[0] == 0
    assert jaxcnn("verify", two, "--fraction", 1)[0] == 0
    assert jaxcnn("export", two, tmp_path / "a.csv")[0] == 0
    assert "step_size" in (tmp_path / "a.csv").read_text()
    status, out, _ = jaxcnn("compare", two, "--along", "ratio", "--json")
    assert len(json.loads(out)["differences"]) == 1
    assert jaxcnn("plot", two, "--x", "ratio", "--out", tmp_path / "p.svg")[0] == 0
    assert jaxcnn("plot", two, "--kind", "steps", "--out", tmp_path / "p.png")[0] == 0
    assert jaxcnn("report", two, "--out", tmp_path / "r.html", "--no-exact")[0] == 0


WRONG = {
    ("estimate", "--ratio", "1"): ("--k", "must be given"),
    ("estimate", "--k", "abc", "--ratio", "1"): ("--k", "'abc'", "must be a number"),
    ("estimate", "--k", "4.5", "--ratio", "1"): ("--k", "4.5", "whole number"),
    ("estimate", "--k", "4", "--ratio", "9"): ("--ratio", "9", "at most k = 4"),
    ("estimate", "--k", "4", "--ratio", "nan"): ("--ratio", "nan", "finite"),
    ("estimate", "--k", "4", "--ratio", "1", "--p", "1"): ("--p", "1", "at least 2"),
    ("estimate", "--k", str(2**53 + 1), "--ratio", "1"): ("--k", str(2**53 + 1), "at most"),
    ("estimate", "--k", "1e300", "--ratio", "1"): ("--k", "at most"),
    ("estimate", *CELL, "--teacher-norm", "-1"): ("--teacher-norm", "-1", "greater than 0"),
    ("estimate", *CELL, "--init", "cube"): ("--init", "'cube'", "ball, sphere"),
    ("estimate", *CELL, "--restarts", "0"): ("--restarts", "0", "at least 1"),
    ("estimate", *CELL, "--restarts", "1.5"): ("--restarts", "'1.5'", "whole number"),
    ("estimate", *CELL, "--confidence", "95"): ("--confidence", "95", "between 0 and 1"),
    ("estimate", *CELL, "--engine", "warp"): ("--engine", "'warp'", "auto, full, reduced"),
    ("estimate", *CELL, "--seed", "-1"): ("--seed", "-1", "whole number"),
    ("estimate", *CELL, "--kk", "1"): ("--kk",),
    ("exact", *CELL, "--init", "box"): ("init", "box", "estimate"),
    ("exact", *CELL, "--p", "6,x"): ("--p", "'x'", "whole number"),
    ("exact", *CELL, "--p", "6,1"): ("--p", "1", "at least 2"),
    ("exact", *CELL, "--p", "3,6", "--draws", "9"): ("--p", "one number"),
    ("table1", "--restarts", "-5"): ("--restarts", "-5", "at least 1"),
    ("table1", "--teacher-norm", "0"): ("--teacher-norm", "0", "greater than 0"),
    ("trajectory", *CELL, "--out", "a.txt"): ("--out", "'a.txt'", ".csv"),
    ("trajectory", *CELL, "--out", "/nowhere/a.csv"): ("--out", "/nowhere/a.csv", "exists"),
    ("trajectory", *CELL, "--optimizer", "adam"): ("--optimizer", "'adam'"),
    ("landscape", "--k", "9", "--ratio", "2", "--activation", "x"): ("activation", "'x'", "relu"),
    ("landscape", "--k", "9", "--ratio", "2", "--out", ""): ("--out", "''", "must be a path"),
    ("table1", "--out", ""): ("--out", "''", "must be a path"),
    ("show", ""): ("RUN", "''", "must be a path"),
    ("basin", *CELL, "--out", "a.doc"): ("--out", "'a.doc'", ".png"),
    ("sweep", "/nowhere.toml", "--out", "x"): ("/nowhere.toml", "exists"),
    ("show", "/nowhere"): ("/nowhere",),
    ("compare", "/nowhere", "--along", "k"): ("/nowhere",),
    ("report", "/nowhere", "--out", "r.txt"): ("--out", "'r.txt'", ".html"),
    ("verify", "/nowhere"): ("/nowhere",),
    ("nonsense",): ("nonsense",),
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_bad_input_is_refused_in_one_line(jaxcnn, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = jaxcnn(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    for part in WRONG[words]:
        assert part in err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_cell_that_one_axis_holds_is_named(jaxcnn, run):
    status, _, err = jaxcnn("plot", run, "--x", "colour", "--out", "p.png")
    assert status == 2
    assert "--x = 'colour': must be a key that varies: k, ratio, step_size" in err
    status, _, err = jaxcnn("plot", run, "--x", "ratio", "--by", "k", "--out", "p.png")
    assert status == 2
    assert "--at" in err


def test_interrupt_ends_with_130_and_one_line():
    words = ["estimate", "--k", "25", "--ratio", "8.6", "--restarts", "100000000"]
    with subprocess.Popen(
        [sys.executable, "-m", "jaxcnn", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as going:
        out = err = ""
        try:
            # On a busy machine the first may come while modules load, and be lost there.
            for wait in (6, 20, 20):
                time.sleep(wait)
                going.send_signal(signal.SIGINT)
                try:
                    out, err = going.communicate(timeout=20)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            going.kill()
    assert (going.returncode, out, err) == (130, "", "jaxcnn: interrupted\n")


LOST = """
import gc, sys
from jaxcnn.view.process import main

def once(phase, info):
    gc.callbacks.remove(once)
    raise KeyboardInterrupt

gc.callbacks.append(once)
sys.argv = ["jaxcnn", "estimate", "--k", "25", "--ratio", "8.6", "--restarts", "10"]
main()
"""


def test_an_interrupt_within_the_garbage_collector_is_not_lost():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "jaxcnn: interrupted\n")


def test_module_is_the_command():
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, f"jaxcnn {__version__}\n")


@pytest.mark.parametrize("command", ["estimate", "exact", "trajectory", "basin"])
def test_the_options_of_a_cell_are_the_same_everywhere(command):
    done = typer.main.get_command(cli.app).commands[command]
    taken = {option for parameter in done.params for option in parameter.opts}
    words = "k ratio p teacher-norm step-size init init-scale filter-init seed max-steps confidence"
    assert {f"--{word}" for word in words.split()} <= taken
