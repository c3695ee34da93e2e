"""The exact success probability of cells, or the reason why there is none."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import real, whole
from jaxcnn.base.cores import cpu_count
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.base.html_table import html_table, in_words
from jaxcnn.basin.problem import Problem, problem_of
from jaxcnn.basin.quadrature import integrate
from jaxcnn.basin.refine import Converged
from jaxcnn.basin.stepping import Stepper

TOLERANCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Exact:
    """Success probability of one cell by quadrature; prints as one line.

    Attributes:
        p_global: probability of the global minimum.
        p_spurious: probability of the spurious one, computed as such: rare failures keep
            their digits.
        error: estimate of the absolute error of either, before the larger one is rounded to a
            double (10⁻¹⁶); 0 where the answer is a theorem.
        threshold_evaluations: trial runs behind the threshold map (shared by a list of p).
        order: order of the last quadrature rule, 0 where none was needed.
        certain: why the probability is 0 or 1 without any computation, or None.
        problem: the cell in words.
    """

    p_global: float
    p_spurious: float
    error: float
    threshold_evaluations: int
    order: int
    certain: str | None
    problem: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        return {
            "p_global": self.p_global,
            "p_spurious": self.p_spurious,
            "error": self.error,
            "threshold_evaluations": self.threshold_evaluations,
            "certain": self.certain,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        if self.certain is not None:
            return f"P(global) = {self.p_global:.0f}: {self.certain}"
        rare = f", P(spurious) = {self.p_spurious:.6g}" if self.p_spurious < 1e-3 else ""
        return (
            f"P(global) = {self.p_global:.12f}{rare}, error {self.error:.1e} "
            f"({self.threshold_evaluations} threshold evaluations)"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts = {
            "P(global)": f"{self.p_global:.12f}",
            "P(spurious)": f"{self.p_spurious:.12g}",
            "error": f"{self.error:.1e}",
            "threshold evaluations": str(self.threshold_evaluations),
        }
        words = in_words(self.problem)
        caption = f"{words}: {self.certain}" if self.certain else words
        return html_table(list(facts), [list(facts.values())], caption)


@overload
def exact_probability(
    cell: Cell, p: int | None = None, tolerance: float = TOLERANCE, **start: Any
) -> Exact: ...
@overload
def exact_probability(
    cell: Cell, p: Sequence[int], tolerance: float = TOLERANCE, **start: Any
) -> tuple[Exact, ...]: ...
def exact_probability(
    cell: Cell,
    p: int | Sequence[int] | None = None,
    tolerance: float = TOLERANCE,
    **start: Any,
) -> Exact | tuple[Exact, ...]:
    """P(global) of plain population gradient descent, by quadrature over the basin boundary.

    P = E_{(x,y)} F_p(φ_c(x, y)); see basin/quadrature.py. Needs b ≤ 1, for ReLU
    b = η(k+π−1)/2π, and an activation whose kernel falls with the angle; see basin/problem.py.

    Args:
        cell: the experiment; init ball, sphere, gaussian or zero, filter_init sphere, gaussian
            or shortcut.
        p: patch size, or several (one threshold map serves them all); the cell's if not given.
        tolerance: asked of the absolute error. Below 10⁻³ the smaller of P and 1 − P is refined
            on, to a relative error of 10⁴ tolerances (from 10⁻⁶ to 10⁻⁴), where that can be
            reached.
        **start: `teacher` (explicit w*, a*), `a` (fixed a₀, shape (k,)), `a_mean` (added to a₀, a
            number or shape (k,)), `angle` (fixed φ₀, radians), `v_norm` (‖v₀‖ on the sphere
            or at a fixed angle) and `activation` (σ as an object), instead of the cell's; see
            `problem_of`.

    Returns:
        An `Exact`, or one for each p of a list.

    Raises:
        InputError: an argument is out of its range.
        NotExactError: there is no exact probability for this experiment, or the answer did not
            converge, or the outcome is not monotone in the start angle.
    """
    several = isinstance(p, Sequence)
    asked_for = p if isinstance(p, Sequence) else (cell.p if p is None else p,)
    ps = [whole("p", size, 2) for size in asked_for]
    if not ps:
        raise InputError("p", p, "must hold at least one patch size")
    results = _answers(cell, ps, real("tolerance", tolerance, 0.0, 1.0, ends=False), start)
    return results if several else results[0]


def exact_probabilities(
    cells: Iterable[Cell], tolerance: float = TOLERANCE, seconds: float = math.inf
) -> Generator[Exact | NotExactError, None, None]:
    """`exact_probability` of many cells, in their order, side by side on all cores.

    Args:
        cells: the cells; they are taken as their turn comes.
        tolerance: asked of the absolute error of each.
        seconds: time after which no further answer is waited for.

    Yields:
        The answer, or the refusal that says why there is none.

    Raises:
        InputError: an argument is out of its range.
    """
    asked = real("tolerance", tolerance, 0.0, 1.0, ends=False)
    end, stop = time.monotonic() + seconds, threading.Event()

    def one(cell: Cell) -> Exact | NotExactError:
        try:
            return _answers(cell, [cell.p], asked, {}, threads=1, stop=stop)[0]
        except NotExactError as refusal:
            return refusal

    def left() -> float | None:
        return None if end == math.inf else max(0.0, end - time.monotonic())

    workers = cpu_count()
    pool, waiting = ThreadPoolExecutor(workers), deque[Future[Exact | NotExactError]]()
    try:
        for cell in cells:
            waiting.append(pool.submit(one, cell))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result(left())
        while waiting:
            yield waiting.popleft().result(left())
    except TimeoutError:
        return
    finally:
        # Cells in progress end with their next trial runs, so that nobody waits for them.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _answers(
    cell: Cell,
    ps: Sequence[int],
    tolerance: float,
    start: dict[str, Any],
    threads: int = 0,
    stop: threading.Event | None = None,
) -> tuple[Exact, ...]:
    """One for each p."""
    problem = problem_of(cell, **start)
    certain = certainty(problem)
    if certain is not None:
        sure, reason = certain
        ones = np.ones(len(ps))
        answer = Converged(sure * ones, (1.0 - sure) * ones, 0.0 * ones, 0, 0)
    else:
        reason = None
        answer = integrate(Stepper(problem, threads, stop), ps, tolerance)
    # The error is that of the rarer one; the other is what it leaves of 1, not a sum of its own
    # whose weights are rounded.
    good, bad = answer.p_global, answer.p_spurious
    good, bad = np.where(bad < good, 1.0 - bad, good), np.where(bad < good, bad, 1.0 - good)
    return tuple(
        Exact(
            p_global=float(good[i]),
            p_spurious=float(bad[i]),
            error=float(answer.error[i]),
            threshold_evaluations=answer.evaluations,
            order=answer.order,
            certain=reason,
            problem=_words(cell, ps[i], problem),
        )
        for i in range(len(ps))
    )


def certainty(problem: Problem) -> tuple[float, str] | None:
    """P(global) and the reason, where it is 0 or 1 whatever else; otherwise None.

    Raises:
        NotExactError: a single start lies on the boundary.
    """
    if problem.mirrored:
        alone = problem.filter == "fixed" and problem.output == "point"
        if alone and 0.0 < problem.angle < math.pi:
            integrate(Stepper(problem), [2], TOLERANCE)
        return 1.0, "the activation is odd: (-w*, -a*) is the global minimum too"
    if problem.filter == "fixed" and problem.angle >= math.pi:
        return 0.0, "a start at angle pi stays there"
    if problem.filter == "fixed" and problem.angle == 0.0:
        return 1.0, "a start at angle 0 stays there"
    if problem.supercritical:
        return 1.0, "the ratio is at or above critical: no spurious minimum attracts"
    return None


def _words(cell: Cell, p: int, problem: Problem) -> dict[str, Any]:
    words = cell.words() | {"p": p}
    if problem.filter == "fixed":
        words["angle"] = problem.angle
    if problem.kernel.name != cell.activation:
        words["activation"] = problem.kernel.name
    if problem.norm2 != 1.0:
        words["v_norm"] = math.sqrt(problem.norm2)
    if problem.center != (0.0, 0.0) or (problem.output == "point" and problem.scale != 0.0):
        words["a_center"] = problem.center
    return words
