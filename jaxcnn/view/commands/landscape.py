"""`jaxcnn landscape`: the critical points for one teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxcnn.model.activation import activation
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from jaxcnn.view.figures.canvas import COLUMN, save, writable
from jaxcnn.view.figures.landscape import between_minima
from jaxcnn.view.terminal import print_json, print_table, print_text


def run(words: dict[str, Any], *, out: Path | None, json: bool) -> None:
    """Find, print, and draw the line between the two minima if asked to."""
    if out is not None:
        writable(out)
    sizes = dict(words)
    sigma = activation(sizes.pop("activation", "relu"), sizes.pop("slope", 0.01))
    teacher = Teacher(**sizes)
    result = landscape(teacher, sigma)
    if out is not None:
        figure = Figure(figsize=COLUMN, layout="constrained")
        between_minima(teacher, figure.subplots(), activation=sigma)
        save(figure, out)
    if json:
        print_json(result.as_dict())
        return
    print_text(str(result).split("\n", 1)[0])
    rows = [
        [
            point.kind,
            f"{point.angle:.4f}",
            f"{point.loss:.5g}",
            f"{point.alignment:.4g}",
            f"{point.output_sum:.4g}",
            "yes" if point.attracts else "no",
            f"{point.eigenvalues[0][0]:.3g}..{point.eigenvalues[-1][0]:.3g}",
        ]
        for point in result.points
    ]
    print_table(
        ["point", "angle", "loss", "a'a*", "1'a", "attracts", "Hessian"], rows, words=(0, 5)
    )
    for point in result.points:
        print_text(f"{point.kind}: {point.note}")
    if out is not None:
        print_text(f"written: {out}")
