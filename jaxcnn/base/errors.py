"""What can go wrong, as one small tree.

    JaxcnnError                 anything this package refuses or cannot do
    ├── InputError              an argument is wrong: names it, its value and the remedy
    │   └── RefusedError        the argument is fine alone but not in this combination
    ├── NotExactError           the exact probability cannot be had here; `estimate` can
    └── RunError                a run directory is damaged, foreign, or cannot be written

Every message is one line. The command line prints it and exits with 2.
"""

from __future__ import annotations


class JaxcnnError(Exception):
    """Anything this package refuses or cannot do, in one line."""


class InputError(JaxcnnError, ValueError):
    """An argument is wrong.

    Args:
        argument: its name, as the caller wrote it.
        value: what was given.
        remedy: what to give instead, as a clause ("must be at least 2").
    """

    def __init__(self, argument: str, value: object, remedy: str) -> None:
        self.argument = argument
        self.value = value
        self.remedy = remedy
        super().__init__(argument, value, remedy)

    def __str__(self) -> str:
        shown = " ".join(repr(self.value).split())
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return f"{self.argument} = {shown}: {self.remedy}"


class RefusedError(InputError):
    """Arguments that are fine alone exclude each other."""


class NotExactError(JaxcnnError):
    """The exact probability cannot be had for this problem; the message says why."""


class RunError(JaxcnnError):
    """A run directory is damaged, foreign, read-only, or holds another study."""
