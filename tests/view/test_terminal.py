"""What a person sees in a terminal of 80 columns, and what a pipe gets."""

import io
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from jaxcnn.study.sweep import SweepProgress
from jaxcnn.view.commands import compare, show
from jaxcnn.view.progress import watched
from jaxcnn.view.terminal import print_table, print_text

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@contextmanager
def terminal():
    """Standard output and error as a terminal."""
    screen = Terminal()
    with redirect_stdout(screen), redirect_stderr(screen):
        yield screen


def plain(screen):
    """What it shows, without colours and moves of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())


HEAD = ["k", "teacher_norm", "init_scale", "restarts", "P(global)", "interval", "exact", "undec."]
ROW = ["25", "0.55", "1", "5000", "0.7264", "0.7138-0.7387", "0.72663", "0"]


def test_a_table_fits_80_columns_and_keeps_its_numbers(capsys):
    print_table(HEAD, [ROW], keys=3)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ROW
    assert lines[0].split()[:3] == ["k", "teach.", "init_scale"]


def test_a_table_on_a_terminal_fits_and_keeps_its_numbers():
    with terminal() as screen:
        print_table(HEAD, [ROW], keys=3)
    lines = plain(screen).splitlines()
    assert max(map(len, lines)) <= 80
    assert ROW in [line.split() for line in lines]


def test_a_table_that_cannot_fit_takes_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with terminal() as screen:
        print_table(HEAD, [[text * 2 for text in ROW]])
    assert [text * 2 for text in ROW] in [line.split() for line in plain(screen).splitlines()]


def test_text_is_wrapped_but_a_path_stays_whole(capsys):
    path = "/a-long/" + "b-" * 50
    print_text(f"{'word ' * 30}{path} [no markup]")
    lines = capsys.readouterr().out.splitlines()
    assert path in lines
    assert all(len(line) <= 80 for line in lines if line != path)
    assert lines[-1] == "[no markup]"


def test_no_color_is_respected(monkeypatch):
    def shown():
        with terminal() as screen:
            with watched("sweep") as bar:
                bar(1, 2)
            print_table(HEAD, [ROW])
        return screen.getvalue()

    assert COLOUR.search(shown())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(shown())


@pytest.mark.parametrize("command", [show, compare], ids=["show", "compare"])
def test_commands_on_a_run_fit_80_columns(run, capsys, command):
    words = {"exact": False} if command is show else {"along": "step_size"}
    command.run(run, json=False, **words)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_progress_shows_share_rate_and_interval():
    with terminal() as screen, watched("estimate") as bar:
        bar.within(500, 4000)
        for done in range(0, 1500, 100):
            bar(done, 1500)
        bar.note("[0.71234, 0.72345]")
        bar(1500, 1500)
    text = plain(screen)
    assert "50%" in text
    assert re.search(r"[0-9.]+ [kMG]?/s", text)
    assert "[0.71234, 0.72345]" in text
    assert max(len(line.split("\r")[-1].rstrip()) for line in text.splitlines()) <= 80


def test_progress_of_a_sweep_names_cells_and_the_widest_interval():
    with terminal() as screen, watched("sweep") as bar:
        bar(SweepProgress(3, 24, 5000, 20_000, 0.70126, 0.73811))
    assert "25%" in plain(screen)
    assert "3/24 cells, widest [0.7013, 0.7381]" in plain(screen)


def test_progress_is_silent_where_nobody_looks(capsys):
    with watched("sweep") as bar:
        bar(1, 2)
        bar.note("x")
    assert capsys.readouterr() == ("", "")
