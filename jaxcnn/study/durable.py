"""Files that are either not there or whole: written beside, flushed, then renamed.

Readers of a directory see a file only under its final name, and it has that name only when
its content is on the disk. This holds on local and on network disks, and for any number of
processes, without locks. What a killed process leaves is a file whose name begins with
`.writing-`, which nobody reads.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jaxcnn.base.errors import RunError

_BESIDE = ".writing-"
_ABANDONED = 3600.0  # seconds; no file of ours takes that long to write


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place, replacing one of that name.

    Raises:
        RunError: if it cannot be written, in one line; nothing is left behind.
    """
    _write(path, content, os.replace)


def write_new(path: Path, content: bytes) -> bool:
    """Put a file in place unless there is one of that name; of several writers one succeeds.

    On a disk without hard links two that write in the same instant may both.

    Returns:
        Whether it was this one.

    Raises:
        RunError: as `write_whole`.
    """
    return _write(path, content, _link)


def _link(beside: Path, path: Path) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # some disks have no links
        if os.path.lexists(path):
            raise FileExistsError from None
        os.replace(beside, path)
    else:
        beside.unlink()


def _write(path: Path, content: bytes, place: Callable[[Path, Path], None]) -> bool:
    beside = path.parent / f"{_BESIDE}{secrets.token_hex(8)}"
    try:
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            place(beside, path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
        sync_directory(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {reason_of(error)}") from None
    return True


def sync_directory(path: Path) -> None:
    """Make renames in a directory last through a loss of power, where the system can."""
    with suppress(OSError):  # some network disks refuse to open or flush directories
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read_whole(path: Path, most: int) -> bytes:
    """The content of a plain file.

    Raises:
        RunError: if it is missing, no plain file, longer than `most` bytes or unreadable.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RunError(f"{path}: is not a plain file")  # reading a pipe would hang
        if status.st_size > most:
            raise RunError(f"{path}: is longer than {most} bytes")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {reason_of(error)}") from None


def sweep_abandoned(folder: Path) -> None:
    """Remove what killed processes left half-written an hour or more ago."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(_BESIDE):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > _ABANDONED:
                        os.unlink(entry.path)


def make_directory(path: Path) -> None:
    """Make a directory and those above it, unless they are there.

    Raises:
        RunError: if that is not possible, in one line.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be made: {reason_of(error)}") from None


def reason_of(error: OSError) -> str:
    """What the system says, without the path, in one line."""
    return " ".join((error.strerror or str(error)).split())
