"""The options of the command line, made from the declared fields of `Cell`.

A value is checked where it is declared: numbers are only parsed here, and ranges, words and
combinations are refused by `Cell`, in the same words as in Python and in a study file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from jaxcnn.base.cell import cell_options

Words = dict[str, Any]
"""Cell options that were given, by field name."""

_PANELS = {
    "k": "Teacher",
    "init": "Start",
    "step_size": "Dynamics",
    "samples": "Finite samples",
    "noise_filter": "Perturbed descent",
    "teacher_angle": "Shortcut and straight-through",
    "angle_tolerance": "Outcome where nothing is proved",
}
"""The first field of each panel of the help."""

_KINDS: dict[str, Any] = {"WORD": str | None, "INTEGER": int | None, "FLOAT": float | None}

TEACHER = ("k", "ratio", "p", "teacher_norm", "activation", "slope")
NOT_P = tuple(f.name for f in cell_options() if f.name != "p")


def number(text: str | float) -> int | float:
    """A number as typed; whole if it is written as one, or as 1e6. A default is passed on.

    Raises:
        typer.BadParameter: for anything else.
    """
    if not isinstance(text, str):
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"= {text!r}: must be a number") from None
    return int(value) if value.is_integer() else value


def whole_number(text: str | int) -> int:
    """A whole number as typed; 1e6 is one.

    Raises:
        typer.BadParameter: for anything else.
    """
    try:
        value = number(text)
    except typer.BadParameter:
        raise typer.BadParameter(f"= {text!r}: must be a whole number") from None
    if not isinstance(value, int):
        raise typer.BadParameter(f"= {text!r}: must be a whole number")
    return value


def whole_numbers(text: str | list[int]) -> list[int]:
    """Whole numbers as typed, with commas between them.

    Raises:
        typer.BadParameter: for anything else.
    """
    return [whole_number(part) for part in text.split(",")] if isinstance(text, str) else text


def real_number(text: str | float) -> float:
    """A number as typed, as a float.

    Raises:
        typer.BadParameter: for anything else.
    """
    return float(number(text))


def path_name(text: str | Path) -> Path:
    """A path as typed. An empty one, as of a shell variable that is not set, is refused.

    `Path("")` would be the current directory.

    Raises:
        typer.BadParameter: for an empty one.
    """
    if text == "":
        raise typer.BadParameter("= '': must be a path")
    return Path(text)


def path_argument(metavar: str, help: str) -> Any:
    """A path that is an argument."""
    return typer.Argument(parser=path_name, metavar=metavar, help=help, show_default=False)


def out_option(metavar: str, help: str) -> Any:
    """A path to write to."""
    return typer.Option("--out", parser=path_name, metavar=metavar, help=help)


def _word(text: str) -> str:
    return text


Restarts = Annotated[
    int, typer.Option(parser=whole_number, metavar="INTEGER", help="number of random starts")
]
Seed = Annotated[
    int, typer.Option(parser=whole_number, metavar="INTEGER", help="seed of all random numbers")
]
Confidence = Annotated[
    float, typer.Option(parser=real_number, metavar="FLOAT", help="level of the intervals")
]
_ANYWHERE = "accepted wherever a cell is described, without effect here"
NoConfidence = Annotated[
    float, typer.Option("--confidence", parser=real_number, hidden=True, help=_ANYWHERE)
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="WORD",
        help="full (v and a), reduced (four scalars), auto (reduced where it is exact)",
        autocompletion=lambda: ["auto", "full", "reduced"],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]
Out = Annotated[Path | None, out_option("PATH", "file to write")]


def with_cell_options(
    only: tuple[str, ...] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a cell in place of its first parameter, `cell`.

    Args:
        only: the fields to take; all of them if not given.
    """
    taken = [f for f in cell_options() if only is None or f.name in only]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *rest = inspect.signature(command).parameters.values()
        notes = get_type_hints(command, include_extras=True)
        own = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=notes[each.name])
            for each in rest
        ]
        mine = _parameters(taken)

        @wraps(command)
        def call(**given: Any) -> None:
            names = {parameter.name for parameter in mine}
            words = {name: given.pop(name) for name in names & given.keys()}
            command({name: value for name, value in words.items() if value is not None}, **given)

        call.__signature__ = inspect.Signature([*mine, *own])  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in (*mine, *own)}
        return call

    return decorate


def _parameters(taken: list[Field[Any]]) -> list[inspect.Parameter]:
    parameters, panel = [], ""
    for f in cell_options():
        panel = _PANELS.get(f.name, panel)
        if f not in taken:
            continue
        required = f.default is MISSING
        kind, rule = str(f.type), f.metadata
        parse: Callable[[str], Any] = _word
        metavar, choices = "WORD", list(rule["choices"] or ())
        if not kind.startswith("str"):
            # Whether a number must be whole is for the field to say, in its own words.
            parse, metavar = number, "INTEGER" if kind.startswith("int") else "FLOAT"
        option = typer.Option(
            "--" + f.name.replace("_", "-"),
            parser=parse,
            metavar=metavar,
            help=": ".join([rule["help"], *([", ".join(choices)] if choices else [])]),
            rich_help_panel=panel,
            autocompletion=_completion(choices) if choices else None,
        )
        parameters.append(
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if required else f.default,
                annotation=Annotated[_KINDS[metavar], option],
            )
        )
    return parameters


def _completion(words: list[str]) -> Callable[[], list[str]]:
    def complete() -> list[str]:
        return words

    return complete
