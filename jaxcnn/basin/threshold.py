r"""The threshold map: where on a line of starts the outcome changes.

Along a line of starts ξ ↦ (φ₀, s₀, M₀, r²) the coordinate w of basin/motion.py after n steps
grows with ξ, and its zero ξ_n tends to the threshold: the boundary of the basin is the stable
manifold of the edge state, and what is left of the decaying modes after n steps enters w
squared,

    |ξ_n − ξ| ≲ e^(−(2V + λ) c n).

So a threshold needs no run to its end: beside the separatrix such a run is as long as the
unstable rate is small, here n ≈ 18/(c V) steps whatever the rate. A round evaluates four trials
a line, and an inverse interpolation through them gives the next, narrower four; early rounds
stop short. For the flow, one more run in steps of half the size corrects ξ, and says what the
integration had left.

A line of angles is ξ = log tan(φ/2), in which the flow is φ̇/sin φ and both ends keep their
digits; a line of outputs is −y at a fixed angle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.errors import NotExactError
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.problem import INSTEAD, Array, Problem
from jaxcnn.basin.stepping import DECAY, Standing, Stepper

Line = Callable[[Array, NDArray[np.intp]], Array]
"""Trials ξ (lines, m) and the lines' numbers (lines,) → starts (4, lines, m)."""

TRIALS = np.array([-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0])
CHECKS = np.array([-4.0, -1.0, -0.1, 0.1, 1.0, 4.0])
"""Where on both sides of each threshold the order of outcomes is checked, in units of ξ."""
BUDGET = 1e10
"""Most restart-steps of one threshold map and those before it; some minutes on two cores."""
SHARP = 1e-12
"""The best accuracy of ξ, for which runs of `settle` steps are long enough."""
_FIRST = 0.3
_LONGEST = 20.0
_GRAIN = 4e-16
_ROUNDS = 400


class Thresholds(NamedTuple):
    """Where the outcome changes along each line.

    Attributes:
        at: ξ, (lines,); ∓inf where the whole line up to its limit is spurious / global.
        error: estimate of the error of ξ, (lines,).
        ordered: whether a threshold was found, every checked start before it is global and
            every one after it spurious, (lines,).
        evaluations: trial runs in all.
    """

    at: Array
    error: Array
    ordered: NDArray[np.bool_]
    evaluations: int


def accuracy_for(tolerance: float) -> float:
    """The accuracy of thresholds that a probability to this tolerance asks for."""
    return min(max(SHARP, 1e-4 * tolerance), 1e-6)


def angle_line(problem: Problem, x: Array, y: Array, norm2: Array) -> Line:
    """Lines of start angles, ξ = log tan(φ₀/2), one for each start (x, y, ‖v₀‖²), (lines,)."""
    s, m = problem.scalars(x, y)

    def line(xi: Array, number: NDArray[np.intp]) -> Array:
        angle = 2.0 * np.arctan(np.exp(np.clip(xi, -700.0, 700.0)))
        return np.stack(
            [angle, *(np.broadcast_to(part[number, None], xi.shape) for part in (s, m, norm2))]
        )

    return line


def edge_guess(stepper: Stepper, count: int) -> Array:
    """The edge state's ξ on a line of angles, for every line."""
    return np.full(count, float(np.log(np.tan(0.5 * stepper.edge_angle))))


def thresholds(
    stepper: Stepper,
    line: Line,
    guess: Array,
    *,
    half: float = 1.0,
    limit: float = 40.0,
    check: bool = True,
    accuracy: float = SHARP,
) -> Thresholds:
    """The threshold on each line.

    Args:
        stepper: the problem.
        line: the starts.
        guess: first guess of ξ, (lines,).
        half: half width of the first four trials; also the unit of the checks.
        limit: |ξ| beyond which a line has no threshold.
        check: whether to check the order of outcomes on both sides.
        accuracy: asked of ξ; rounding at best. With less of it, runs are shorter too.

    Raises:
        NotExactError: the runs needed exceed `BUDGET`.
    """
    count = guess.size
    at, error = guess.astype(np.float64).copy(), np.full(count, np.inf)
    width, share = np.full(count, half), np.full(count, _FIRST)
    looks, length = np.zeros(count, int), np.zeros(count, int)
    slope, growth = np.ones(count), np.ones(count)
    open_ = np.arange(count)
    evaluations, failed = 0, list[int]()
    last = 1.0 if accuracy <= SHARP else max(_FIRST, np.log(1.0 / accuracy) / DECAY)
    _afford(stepper, 30.0 * count * stepper.settle)
    for _ in range(_ROUNDS):
        if not open_.size:
            break
        # Lines that have come equally far share a launch; most are at the same stage.
        stage = np.min(share[open_])
        lines = open_[share[open_] == stage]
        steps = int(np.ceil(stage * stepper.settle))
        early = 3 * steps // 4
        xi = at[lines, None] + width[lines, None] * TRIALS
        standing = stepper.run(line(xi, lines), early, steps - early)
        evaluations += xi.size
        found = _narrowed(xi, standing.late)
        full = stage >= last
        length[lines] = steps
        rise, grown = _slopes(xi, standing)
        # At the width of rounding they may be no numbers; then the ones before are as good.
        slope[lines] = np.where(np.isnan(rise), slope[lines], rise)
        growth[lines] = np.where(np.isnan(rise), growth[lines], grown)

        # Inside, and smooth there (or as narrow as rounding): this look has its zero.
        grain = _GRAIN * (1.0 + np.abs(at[lines]))
        sharp = found.inside & ((found.spread <= accuracy) | (width[lines] <= grain))
        before = _narrowed(xi, standing.early).at
        drift = np.abs(before - found.at)
        # Of what was left at three quarters of the steps (the drift), this much is left now.
        left = max(1e-2, 2.0 / np.expm1(9.0 * stage)) * drift
        settled = sharp & full & (left <= 10.0 * accuracy)
        # What rounding does to the edge state it does to w, which has grown since the start.
        rounded = stepper.edge_error * growth[lines] / slope[lines]
        error[lines] = np.where(settled, left + found.spread + grain + rounded, np.inf)

        # The next look: longer once a look is as sharp as the longer one needs.
        enough = sharp | (not full and found.inside & found.fine & (looks[lines] >= 1))
        longer = np.where(full & sharp & ~settled, 1.5 * stage, min(last, stage * stepper.growth))
        ends = ~found.inside & (np.abs(found.at) > limit)
        looks[lines] = np.where(enough, 1, looks[lines] + 1)
        at[lines] = np.where(ends, np.sign(found.at) * limit, found.at)
        width[lines] = np.where(found.inside, found.width, 3.0 * width[lines])
        share[lines] = np.where(enough | ends, np.maximum(longer, last * ends), stage)
        gone = ends & full
        at[lines[gone]] = np.copysign(np.inf, at[lines[gone]])
        error[lines[gone]] = 0.0
        broken = np.isnan(at[lines]) | (share[lines] > _LONGEST)
        failed.extend(lines[broken])
        _afford(stepper, 0.0)
        open_ = np.setdiff1d(open_, lines[settled | gone | broken])
    lost = np.zeros(count, bool)
    lost[open_] = True
    lost[failed] = True
    at[lost] = guess[lost]
    ordered = ~lost
    if stepper.problem.rule == "flow":
        shift = _integration(stepper, line, at, slope, length)
        at, error, evaluations = at - shift, error + np.abs(shift), evaluations + count
    if check:
        kept, more = _ordered(stepper, line, at, half, limit)
        ordered, evaluations = ordered & kept, evaluations + more
    return Thresholds(at, error, ordered, evaluations)


def _slopes(xi: Array, standing: Standing) -> tuple[Array, Array]:
    """dw/dξ of each line, and how much it has grown since the start, going by the last quarter."""
    with np.errstate(all="ignore"):
        first, rise = (
            (w[:, -1] - w[:, 0]) / (xi[:, -1] - xi[:, 0]) for w in (standing.early, standing.late)
        )
        grown = (rise / first) ** 4
    fit = np.isfinite(grown) & (rise > 0.0) & (first > 0.0)
    return np.where(fit, rise, np.nan), np.where(fit, grown, np.nan)


def _integration(
    stepper: Stepper, line: Line, at: Array, slope: Array, length: NDArray[np.intp]
) -> Array:
    """How far thresholds of the flow are off: w there after steps of half the size, which is right.

    By steps of order eight that is 256 times what remains once it is taken off.
    """
    shift = np.zeros(at.size)
    inside = np.isfinite(at) & (length > 0)
    for steps in np.unique(length[inside]):
        lines = np.flatnonzero(inside & (length == steps))
        standing = stepper.run(line(at[lines, None], lines), 0, 2 * int(steps), part=0.5)
        shift[lines] = standing.late[:, 0] / slope[lines]
    return shift


class _Found(NamedTuple):
    at: Array
    width: Array
    spread: Array
    inside: NDArray[np.bool_]
    fine: NDArray[np.bool_]


def _narrowed(xi: Array, w: Array) -> _Found:
    """The zero of w through four trials a line, and how far to look around it.

    Outside the trials the next centre is three half widths off, on the side of the zero.
    """
    below = np.sum(np.cumprod(w < 0.0, axis=1), axis=1)
    inside = (below > 0) & (below < 4)
    rows = np.arange(w.shape[0])
    right = np.clip(below, 1, 3)
    left = right - 1
    x0, x1, w0, w1 = xi[rows, left], xi[rows, right], w[rows, left], w[rows, right]
    gap = x1 - x0
    with np.errstate(all="ignore"):
        secant = x0 - w0 * gap / (w1 - w0)
        cubic = _inverse(w, xi)
        slopes = np.diff(w, axis=1)
        mine = slopes[rows, left][:, None]
        bend = np.max(np.abs(slopes - mine), axis=1) / np.abs(mine[:, 0])
    fine = np.isfinite(cubic) & (cubic >= x0) & (cubic <= x1) & (bend < 1.0)
    best = np.where(fine, cubic, np.where(bend < 3.0, secant, 0.5 * (x0 + x1)))
    width = gap * np.where(fine, np.clip(np.minimum(bend, 1.0) ** 2, 1e-3, 0.5), 0.5)
    reach = xi[:, -1] - xi[:, 0]
    away = np.where(below == 0, xi[:, 0] - reach, xi[:, -1] + reach)
    away = np.where(np.isfinite(w).all(axis=1), away, np.nan)
    spread = gap * np.where(fine, bend, 1.0) ** 3
    return _Found(np.where(inside, best, away), width, spread, inside, fine)


def _inverse(w: Array, xi: Array) -> Array:
    """ξ at w = 0 by the cubic through (w, ξ), Neville's scheme, each row."""
    table = [xi[:, i] - xi[:, 0] for i in range(4)]
    for span in range(1, 4):
        table = [
            (w[:, i + span] * table[i] - w[:, i] * table[i + 1]) / (w[:, i + span] - w[:, i])
            for i in range(4 - span)
        ]
    return np.asarray(xi[:, 0] + table[0], dtype=np.float64)


def decided(stepper: Stepper, state: Array) -> NDArray[np.int32]:
    """The outcomes of starts (4, …), UNDECIDED where six times `settle` does not tell.

    A lane's side of the edge state says nothing before it has settled; what is proved is so.
    """
    shape, state = state.shape[1:], state.reshape(4, -1)
    label = np.full(state.shape[1], Outcome.UNDECIDED, np.int32)
    waiting = np.arange(label.size)
    for share in (_FIRST, *[1.0] * 6):
        standing = stepper.run(state, 0, int(np.ceil(share * stepper.settle)))
        label[waiting] = standing.label
        still = (standing.label == Outcome.UNDECIDED) | ((share < 1.0) & ~standing.proved)
        if not np.any(still):
            break
        waiting, state = waiting[still], standing.state[:, still]
    return label.reshape(shape)


def _ordered(
    stepper: Stepper, line: Line, at: Array, half: float, limit: float
) -> tuple[NDArray[np.bool_], int]:
    """Whether starts before each threshold are global and those after it spurious."""
    centre = np.clip(at, -limit, limit)[:, None]
    xi = centre + half * CHECKS
    wanted = np.where(xi < at[:, None], Outcome.GLOBAL, Outcome.SPURIOUS)
    number, column = np.nonzero(np.abs(xi) <= limit + 5.0 * half)
    good = np.ones(xi.shape, bool)
    label = decided(stepper, line(xi, np.arange(at.size))[:, number, column])
    good[number, column] = label == wanted[number, column]
    return np.asarray(good.all(axis=1)), number.size


def _afford(stepper: Stepper, more: float) -> None:
    if stepper.lane_steps + more > BUDGET:
        raise NotExactError(
            f"the threshold map would take {more:.2g} restart-steps or more "
            f"(step_size = {2 * np.pi * stepper.problem.c:.3g} is small or the start law wide): "
            f"{INSTEAD}"
        )
