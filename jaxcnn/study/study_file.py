"""A study file: TOML with the tables [study], [fixed], [grid], [zip] and [decision]."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.study.axis import FIELDS, STUDY_KEYS, nearest, shown
from jaxcnn.study.study import TABLES, Study

_MOST_BYTES = 4_000_000


def read_study(path: str | Path) -> Study:
    """The study in a file.

    Raises:
        InputError: in one line with file, key, value and remedy, whatever the file holds.
    """
    name = " ".join(str(path).split())
    words = _words(name, _document(name, _text(name, Path(path))))
    try:
        return Study.from_words(**words)
    except RefusedError as error:
        raise RefusedError(_in_file(name, error), error.value, error.remedy) from None
    except InputError as error:
        raise InputError(_in_file(name, error), error.value, error.remedy) from None


def _in_file(name: str, error: InputError) -> str:
    table = "[study] " if error.argument in STUDY_KEYS else ""
    return f"{name}: {table}{error.argument}"


def _text(name: str, path: Path) -> str:
    try:
        there, content = path.is_file(), b""
        if there:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("study file", name, f"cannot be read: {reason}") from None
    if not there:
        raise InputError("study file", name, "must be a file that exists")
    if len(content) > _MOST_BYTES:
        raise InputError("study file", name, f"must be at most {_MOST_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start : error.start + 1]
        raise InputError(name, byte, f"byte {error.start} is not UTF-8 text") from None


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        # ValueError besides TOML's own: numbers of thousands of digits.
        reason = " ".join(str(error).split())[:200]
        start = text.split("\n", 1)[0][:40]
        raise InputError(name, start, f"is not TOML: {reason}") from None


def _words(name: str, document: dict[str, Any]) -> dict[str, Any]:
    for key, value in document.items():
        if key in FIELDS:
            raise InputError(f"{name}: {key}", value, "belongs in [fixed], [grid] or [zip]")
        if key in STUDY_KEYS:
            raise InputError(f"{name}: {key}", value, "belongs under [study]")
        if key not in ("study", *TABLES):
            raise InputError(f"{name}: {shown(key)}", value, nearest(key, ("study", *TABLES)))
    study = document.pop("study", {})
    if not isinstance(study, Mapping):
        raise InputError(f"{name}: study", study, "must be a table, [study]")
    for key, value in study.items():
        if key in FIELDS:
            remedy = "belongs in [fixed], [grid] or [zip]"
            raise InputError(f"{name}: [study] {shown(key)}", value, remedy)
        if key not in STUDY_KEYS:
            raise InputError(f"{name}: [study] {shown(key)}", value, nearest(key, STUDY_KEYS))
    return {**study, **document}
