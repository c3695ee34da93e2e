"""`study.json`: the study as it was understood, with a checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study import durable
from jaxcnn.study.study import Study

FORMAT = "jaxcnn study 1"
_MOST_BYTES = 2**28
_REMEDY = "delete it and sweep again with the study file: units are kept"


def write_study_record(path: Path, study: Study, *, new: bool = False) -> bool:
    """Write a study where `read_study_record` finds it.

    Args:
        path: the file.
        study: the study.
        new: only if there is no such file.

    Returns:
        Whether it was written.

    Raises:
        RunError: if it cannot be written.
    """
    words: dict[str, Any] = {"format": FORMAT, "id": study.id, "study": study.words()}
    words["skipped"] = study.cells.skipped
    text = json.dumps({**words, "sha256": _checksum(words)}, indent=2) + "\n"
    if new:
        return durable.write_new(path, text.encode())
    durable.write_whole(path, text.encode())
    return True


def read_study_record(path: Path) -> Study:
    """The study in a study.json.

    Raises:
        RunError: if there is none or it is damaged, with the remedy.
    """
    if not path.exists():
        raise RunError(f"{path.parent}: is no run directory: it has no {path.name}")
    content = durable.read_whole(path, _MOST_BYTES)
    try:
        words = json.loads(content)
        if words.pop("sha256") != _checksum(words):
            raise RunError(f"{path}: is damaged: its checksum does not fit; {_REMEDY}")
        if words["format"] != FORMAT:
            raise RunError(f"{path}: is of another format, {words['format']!r:.40}")
        study = Study.from_trusted_words(words["study"], words["skipped"])
        if study.id != words["id"]:
            raise RunError(f"{path}: means something else to this version of the package")
        return study
    except InputError as error:
        raise RunError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RunError(f"{path}: is damaged; {_REMEDY}") from None


def _checksum(words: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
