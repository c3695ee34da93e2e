"""`jaxcnn exact`: one cell by quadrature, or by conditional draws."""

from __future__ import annotations

from typing import Any

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import RefusedError
from jaxcnn.basin.conditional import conditional_probability
from jaxcnn.basin.exact import exact_probability
from jaxcnn.view.terminal import print_json, print_text

_DOCUMENTED = ("p_global", "error", "threshold_evaluations", "problem")


def run(
    words: dict[str, Any],
    *,
    p: list[int],
    tolerance: float,
    draws: int,
    seed: int,
    confidence: float,
    json: bool,
) -> None:
    """Compute and print; several p make a list."""
    cell = Cell(**words, p=p[0])
    if draws:
        _by_draws(cell, p, draws, seed, confidence, json)
        return
    results = exact_probability(cell, p, tolerance=tolerance)
    if json:
        rows = [{key: one.as_dict()[key] for key in _DOCUMENTED} for one in results]
        print_json(rows if len(rows) > 1 else rows[0])
        return
    for size, one in zip(p, results, strict=True):
        print_text(f"p = {size}: {one}" if len(p) > 1 else str(one))


def _by_draws(
    cell: Cell, p: list[int], draws: int, seed: int, confidence: float, json: bool
) -> None:
    if len(p) > 1:
        raise RefusedError("p", p, "must be one number with draws")
    found = conditional_probability(cell, draws=draws, seed=seed, confidence=confidence)
    if json:
        print_json(found.as_dict() | {"problem": cell.words() | {"seed": seed}})
    else:
        print_text(str(found))
