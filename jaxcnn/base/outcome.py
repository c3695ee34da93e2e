"""How a run can end."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """How one run from one start ended; each member carries a sentence.

    The values are what result files store (one byte a restart), so they never change.
    `RUNNING` is a lane's state inside the engine and never appears in a result.
    """

    sentence: str

    RUNNING = 0, "The run has not ended yet."
    GLOBAL = 1, "The run reaches the global minimum."
    SPURIOUS = 2, "The run reaches the spurious local minimum."
    OTHER = 3, "The run settled somewhere else."
    DIVERGED = 4, "The run left every bounded set."
    UNDECIDED = 5, "The step limit came before a decision."

    def __new__(cls, value: int, sentence: str) -> Outcome:
        """A member with its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


FINAL = tuple(outcome for outcome in Outcome if outcome is not Outcome.RUNNING)
"""The outcomes a finished restart can have, in the order every table lists them."""
