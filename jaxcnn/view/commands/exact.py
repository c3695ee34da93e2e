"""`jaxcnn exact`: one cell by quadrature."""

from __future__ import annotations

from typing import Any

from jaxcnn.base.cell import Cell
from jaxcnn.basin.exact import exact_probability
from jaxcnn.view.terminal import print_json, print_text


def run(words: dict[str, Any], *, tolerance: float, json: bool) -> None:
    """Compute and print."""
    result = exact_probability(Cell(**words), tolerance=tolerance)
    if json:
        documented = ("p_global", "error", "threshold_evaluations", "problem")
        print_json({key: result.as_dict()[key] for key in documented})
    else:
        print_text(str(result))
