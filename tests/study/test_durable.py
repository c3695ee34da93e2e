import os
import resource
import subprocess
import sys
import time

import pytest

from jaxcnn.base.errors import RunError
from jaxcnn.study import durable


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a"
    durable.write_whole(path, b"one")
    durable.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a"
    durable.write_whole(path, b"one")
    for broken in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(
                os, broken, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
            )
            with pytest.raises(RunError, match=r"a: cannot be written: No space left$"):
                durable.write_whole(path, b"two")
        assert os.listdir(tmp_path) == ["a"]
        assert path.read_bytes() == b"one"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        durable.write_whole(tmp_path / "a", b"one")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"12345")
    for name, reason in (
        ("pipe", "plain"),
        ("long", "longer"),
        ("none", "No such"),
        (".", "plain"),
    ):
        with pytest.raises(RunError, match=reason):
            durable.read_whole(tmp_path / name, 4)
    assert durable.read_whole(tmp_path / "long", 5) == b"12345"


def test_abandoned_files_go_after_an_hour(tmp_path):
    old, new, other = (tmp_path / name for name in (".writing-a", ".writing-b", "c"))
    for path in (old, new, other):
        path.write_text("")
    for path in (old, other):
        os.utime(path, (time.time() - 4000,) * 2)
    durable.sweep_abandoned(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".writing-b", "c"]
    durable.sweep_abandoned(tmp_path / "none")


FILL = """
import resource, sys
from pathlib import Path
from jaxcnn.base.errors import RunError
from jaxcnn.study import durable
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    durable.write_whole(Path(sys.argv[1]) / "a", b"x" * 2000)
except RunError as error:
    print(error)
"""


def test_a_size_limit_leaves_nothing(tmp_path):
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path}/a: cannot be written: File too large\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_of_several_writers_of_a_new_file_one_succeeds(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))
    path = tmp_path / "a"
    assert durable.write_new(path, b"one")
    assert not durable.write_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]
