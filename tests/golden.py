"""Golden cases: what the slow reference (tests/reference.py) found, start by start.

Made by `python -m tests.golden`, which prints them; the tests recompute some.
"""

from typing import NamedTuple

from tests import reference

STEPS = 100


class Golden(NamedTuple):
    """One cell with drawn starts.

    Attributes:
        k, p, ratio, norm, step_size: the cell.
        seed: of `reference.starts`.
        outcomes: a letter a start: G(lobal) or S(purious).
        scalars: (φ, s, M, r²) of start 0 after `STEPS` steps.
    """

    k: int
    p: int
    ratio: float
    norm: float
    step_size: float
    seed: int
    outcomes: str = ""
    scalars: tuple[float, ...] = ()


CELLS = (
    Golden(
        9, 3, 1.0, 1.0, 0.3, 1,
        "GSSGSGSGSSGGSGGGGSGGGSGGSGGGGGGGGGGGGGGGGGSSSSGGGG"
        "GSSGSGSGSSGGSGGSGGSGGSSGSSSGGGGSSGGSGGGGSGGGSGSGGG",
        (1.4366793682536808e-05, 0.9997917728602879,
         5.882838660653532e-11, 1.0347833106843045),
    ),
    Golden(
        25, 6, 4.0, 0.6, 0.1, 2,
        "GGGGSGGSSGGSSGSGGGGGSSGGSSGGGGGGGGGGSGGGSSSSGSGGSG"
        "GSGGGGSSGGGSGGSGSGGGGGGSSGSGGGGGSSGGSGGGGSGSGGGGGG",
        (1.3147183324747453, 0.09804599832766062,
         0.0913909625825622, 1.0004158900216533),
    ),
    Golden(
        16, 4, 3.5, 2.0, 0.2, 3,
        "GGGGGGGGGSGGGGGSSSGGGGGGGGSGSSSGGGGGGGGSGGGGGGGGGG"
        "GSGGGSGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGSGGSGSSSGGGGGG",
        (8.227389352441153e-18, 3.9960517810072216,
         0.0, 1.046042261130923),
    ),
    Golden(
        6, 2, 0.5, 5.0, 0.4, 4,
        "SGSSSGGSSGSGGGGSSSGSGSSSGSSGSSGGGSGGSSSSSGSSGSGGSG"
        "SGGSSGGSGGGSGGGGGGSSSGSSSGGSGGSGGSGSGGGSGGSGSSGSGG",
        (3.125280633978544, -9.421296014700832,
         4.823366958008881, 1.0020014219209352),
    ),
)  # fmt: skip


def computed(cell, count):
    """Outcomes of the first `count` starts and the scalars of the first, by the reference."""
    w, a_star, _, _ = reference.teacher(cell.k, cell.p, cell.ratio, cell.norm)
    v, a = reference.starts(cell.k, cell.p, cell.ratio, cell.norm, 100, cell.seed)
    ends = [reference.reaches_global(v[i], a[i], w, a_star, cell.step_size) for i in range(count)]
    last = reference.after(v[0], a[0], w, a_star, cell.step_size, STEPS)
    found = tuple(float(x) for x in reference.four_scalars(*last, w, a_star))
    return "".join("SG"[end] for end in ends), found


if __name__ == "__main__":
    for each in CELLS:
        print(each._replace(**dict(zip(("outcomes", "scalars"), computed(each, 100), strict=True))))
