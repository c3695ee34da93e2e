import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import typer

from jaxcnn.base.errors import InputError
from jaxcnn.study import axis, cell_grid, run_study
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.study_file import read_study
from jaxcnn.view.cli import app
from jaxcnn.view.process import main

VALID = """[study]
seed = 0
confidence = 0.95
half_width = 0.002
max_restarts = 100000

[fixed]
p = 6
step_size = 0.05

[grid]
k = [25, 100]
ratio = [1, 4, 9]
init_scale = { linspace = [0.5, 4.0, 8] }
"""
OTHERS = (
    '[study]\nrestarts = 1000\nskip_impossible = true\n[fixed]\nratio = 4.5\n'
    '[grid]\nteacher_norm = { logspace = [0.1, 10, 5] }\n[zip]\nk = [4, 9, 16]\np = [2, 3, 4]\n',
    '[study]\ndtype = "float64"\nengine = "full"\n[decision]\nabove = { ratio = 1 }\n'
    '[fixed]\nk = 25\n[grid]\nratio = [1.0, 2.0]\n',
    '[study]\n[decision]\nabove = 0.9\n[fixed]\nk = 25\nratio = 1\ninit = "sphere"\n',
)  # fmt: skip
TOKENS = (
    "nan", "inf", "-inf", "1e400", "-1", "0", "true", '"x"', "''", "[]", "{}", "[[1]]", "1979-05-27",
    "07:32:00", "9" * 30, "9" * 5000, "0x19", "1_000", "1e3", "[1, 2", "=", "[", "]", "{", "}", "\n",
    "#", "[study]", "[grid]", "[fixed]", "[zip]", "[decision]", "[[grid]]", "k", "ratio", "grid.k = [1]",
    "seed", '"k\\n"', "above", "linspace", "logspace", "{ linspace = [1, 2, 3] }", '"""', "restarts = 5",
    "{ k = 25 }", "p = 6", "\\u0000", "\ufeff", "é", "\u2028", "[" * 2000, "a." * 500 + "b = 1",
)  # fmt: skip


def write(tmp_path, content):
    path = tmp_path / "study.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(tmp_path, content):
    with pytest.raises(InputError) as caught:
        read_study(write(tmp_path, content))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_valid_file(tmp_path):
    made = read_study(write(tmp_path, VALID))
    assert len(made) == 48
    assert made.half_width == 0.002
    assert made.cells[47].init_scale == 4.0
    for text in OTHERS:
        assert len(read_study(write(tmp_path, text))) > 0


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("half_width", "half_with", ["study.toml: [study] half_with = 0.002", "half_width?"]),
        ("[study]", "[sudy]", ["study.toml: sudy", "did you mean study?"]),
        ("seed = 0", "k = 3", ["[study] k = 3", "belongs in"]),
        ("[study]\n", "", ["study.toml: seed = 0", "belongs under [study]"]),
        ("p = 6", "p = true", ["study.toml: [fixed] p = True", "must be a number"]),
        ("ratio = [1, 4, 9]", "ratio = [1, 99]", ["study.toml: [grid] ratio = 99.0", "k = 25"]),
        ("0.95", "95", ["study.toml: [study] confidence = 95"]),
        ("p = 6", "p = 6\np = 7", ["is not TOML", "Cannot overwrite"]),
        ("[25, 100]", "[25, 100", ["is not TOML"]),
        ("0.05", "9" * 5000, ["is not TOML"]),
        ("p = 6", "p = " + "[" * 3000, ["is not TOML"]),
    ],
)
def test_refusals_name_file_key_value_and_remedy(tmp_path, old, new, parts):
    message = refusal(tmp_path, VALID.replace(old, new, 1))
    for part in parts:
        assert part in message, message


def test_what_is_no_text_file_is_refused(tmp_path):
    assert "not UTF-8" in refusal(tmp_path, VALID.encode("utf-16"))
    assert "at most" in refusal(tmp_path, b"#" * 5_000_000)
    for path in (tmp_path, tmp_path / "absent", "/dev/zero", "a\0b"):
        with pytest.raises(InputError, match="study file") as caught:
            read_study(path)
        assert str(caught.value).count("study file") == 1


@pytest.fixture
def in_memory(tmp_path):
    """A directory in memory where there is one: 10 000 files on a slow disk take minutes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def mutated(source: random.Random) -> bytes:
    kind = source.random()
    if kind < 0.1:
        return source.randbytes(source.randrange(400))
    text = source.choice((VALID, *OTHERS))
    if kind < 0.15:
        return " ".join(source.choices(TOKENS + tuple(text.split()), k=30)).encode()
    for _ in range(source.choice((1, 1, 2, 4))):
        words = text.split(" ")
        lines = text.split("\n")
        at, line = source.randrange(len(words)), source.randrange(len(lines))
        match source.randrange(7):
            case 0:
                words[at] = source.choice(TOKENS)
                text = " ".join(words)
            case 1:
                words.insert(at, source.choice(TOKENS))
                text = " ".join(words)
            case 2:
                lines.insert(source.randrange(len(lines)), lines[line])
                text = "\n".join(lines)
            case 3:
                del lines[line]
                text = "\n".join(lines)
            case 4:
                key, _, value = lines[line].partition("=")
                lines[line] = f"{key}= {source.choice(TOKENS)}" if value else lines[line]
                text = "\n".join(lines)
            case 5:
                place = source.randrange(len(text))
                text = (
                    text[:place] + source.choice("0123456789.[]{}=\"',#\n ek") + text[place + 1 :]
                )
            case 6:
                place = source.randrange(len(text))
                text = text[:place] + text[place + source.randrange(1, 8) :]
    content = bytearray(text.encode())
    if kind > 0.9 and content:
        content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    return bytes(content)


@pytest.fixture
def small_grids(monkeypatch):
    for module in (axis, cell_grid):
        monkeypatch.setattr(module, "MOST_CELLS", 60)


def test_generated_files_are_valid_or_refused_in_one_line(in_memory, small_grids):
    source, valid = random.Random(4), 0
    for _ in range(2000):
        content = mutated(source)
        path = write(in_memory, content)
        try:
            made = read_study(path)
        except InputError as error:
            message = str(error)
            assert len(message.splitlines()) == 1, content
            assert message.startswith((str(path), "study file")), (message, content)
            assert len(message) < 800
        else:
            valid += 1
            assert 0 < len(made) <= 60
    assert 100 < valid < 1000


@pytest.mark.heavy
def test_ten_thousand_generated_files_on_the_command_line(
    in_memory, small_grids, monkeypatch, capsys
):
    # Everything is real but the computation: files that are valid get an empty run directory.
    monkeypatch.setattr(run_study, "sweep_with", lambda *_, **__: None)
    command = typer.main.get_command(app)  # made once: it takes longer than all the rest
    monkeypatch.setattr(typer.main, "get_command", lambda _: command)
    source, valid, out = random.Random(6), 0, in_memory / "run"
    for _ in range(10_000):
        content = mutated(source)
        path = write(in_memory, content)
        monkeypatch.setattr(sys, "argv", ["jaxcnn", "sweep", str(path), "--out", str(out)])
        with pytest.raises(SystemExit) as end:
            main()
        shown, errors = capsys.readouterr()
        if end.value.code:
            assert (end.value.code, shown) == (2, ""), content
            assert len(errors.splitlines()) == 1, content
            assert errors.startswith("jaxcnn: "), content
            assert "defect" not in errors, (errors, content)
            assert not out.exists(), content
        else:
            valid += 1
            assert errors == ""
            assert RunDirectory.study_at(out).words() == read_study(path).words()
            shutil.rmtree(out)
        assert {one.name for one in in_memory.iterdir()} == {path.name}
    assert 500 < valid < 5000
