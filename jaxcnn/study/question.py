"""The question that a study can stop at: is a cell above a value, or above another cell?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxcnn.base.checks import real
from jaxcnn.base.errors import InputError
from jaxcnn.study.axis import FIELDS, Value, checked_value, nearest, shown


@dataclass(frozen=True, slots=True)
class Question:
    """Is the success probability of each cell above a level, or above that of a reference?

    Attributes:
        level: the level, or None.
        reference: what is different in the reference of a cell, or None: with {"ratio": 4.0},
            each cell is compared with the one that differs from it in having ratio 4.
    """

    level: float | None = None
    reference: Mapping[str, Value] | None = None

    @classmethod
    def from_words(cls, words: Any) -> Question | None:
        """From `{"above": 0.9}` or `{"above": {"ratio": 4}}`; none from None.

        Raises:
            InputError: naming the key, its value and the remedy.
        """
        if words is None:
            return None
        if not isinstance(words, Mapping):
            raise InputError("[decision]", words, "must be a table with the key above")
        for key, value in words.items():
            if key != "above":
                raise InputError(f"[decision] {shown(key)}", value, nearest(key, ["above"]))
        above = words.get("above")
        if not isinstance(above, Mapping):
            return cls(level=real("[decision] above", above, 0.0, 1.0, ends=False))
        if not above:
            raise InputError("[decision] above", {}, "must name what differs in the other cell")
        for key, value in above.items():
            if key not in FIELDS:
                raise InputError(f"[decision] above {shown(key)}", value, nearest(key, FIELDS))
        where = "[decision] above"
        return cls(reference={k: checked_value(f"{where} {k}", k, v) for k, v in above.items()})

    def words(self) -> dict[str, Any]:
        """The words that `from_words` takes."""
        return {"above": dict(self.reference) if self.reference else self.level}
