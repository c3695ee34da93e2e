r"""The probability at a fixed start angle φ₀, where the outcome is an indicator of (x, y).

The boundary is a curve y_c(x) in the plane, the global side above it, and the law of y on a chord
x = const is known in closed form, so P(global) = E_x P(y > y_c(x) | x). Gaussian outputs take a
Hermite rule in x. Outputs in a ball or on a sphere fill a disc, which the curve enters and
leaves: where it crosses the circle the integrand has a kink. So the crossings are found first,
as thresholds along the circle. A chord that misses the curve ends on one side only and counts
with its mass in closed form. Those that meet it lie between two crossings, and there

    x = middle + half width · sin θ,    −π/2 < θ < π/2,

makes the integrand analytic: near a crossing x_i it is an analytic function plus another times
(x − x_i)^(n/2 − 1), n whole. The rule is the Gauss rule of the law of θ there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv, betaln, ndtr

from jaxcnn.base.errors import NotExactError
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.marginal import beyond
from jaxcnn.basin.problem import INSTEAD, Array, Problem
from jaxcnn.basin.refine import Converged, Sum, refine
from jaxcnn.basin.rules import NEGLIGIBLE, law_rule, normal_rule, symmetric_rule
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import (
    Line,
    accuracy_for,
    angle_line,
    decided,
    edge_guess,
    output_line,
    thresholds,
)

ORDERS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
UNSEEN = 1e-22
"""Mass of x that is left out, on both sides together."""
UP = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
"""Where on chords that should have one outcome it is checked, from end to end."""
ACROSS = np.sin(0.5 * np.pi * np.array([-0.9, -0.5, 0.0, 0.5, 0.9]))
"""Which of these chords are checked; those at the ends of a piece lie on the boundary."""
_DIRECTIONS = (32, 64, 128, 256)
_TAIL = 1e-8
"""Of the interpolant along the circle, beside 1: what it may leave out of ξ."""
_FINE = 4096
_PANELS, _NODES = 24, 32


class Piece(NamedTuple):
    """Chords that meet the boundary, between two of its crossings with the circle.

    Attributes:
        low: t at one end.
        high: t at the other.
        start: u = (y − centre)/radius of the boundary at `low`.
        end: the same at `high`.
    """

    low: float
    high: float
    start: float
    end: float


@dataclass(frozen=True)
class Disc:
    """A disc of starts, its chords t = (x − centre)/radius told apart by where they end.

    Attributes:
        n: coordinates of the uniform direction of which t is one and y the next.
        met: the pieces whose chords meet the boundary.
        good: mass of the chords that are global from end to end.
        bad: mass of those that are spurious.
        noise: mass lost, and the error of the crossings where it counts.
        evaluations: trial runs so far.
    """

    n: int
    met: tuple[Piece, ...]
    good: float
    bad: float
    noise: float
    evaluations: int


def one_start(stepper: Stepper) -> Converged:
    """Nothing is random: the outcome of the start, with probability one.

    Raises:
        NotExactError: the start lies on the boundary.
    """
    problem = stepper.problem
    x, y = (np.array([value]) for value in problem.center)
    line = angle_line(problem, x, y, np.array([problem.norm2]))
    found = thresholds(stepper, line, edge_guess(stepper, 1))
    distance = float(found.at[0] - np.log(np.tan(0.5 * problem.angle)))
    if not found.ordered[0] or abs(distance) <= 10.0 * float(found.error[0]):
        raise NotExactError(f"the start lies on the basin boundary to rounding: {INSTEAD}")
    good = np.array([float(distance > 0.0)])
    return Converged(good, 1.0 - good, np.zeros(1), 1, found.evaluations)


def chords(stepper: Stepper, tolerance: float) -> Converged:
    """P(global) over a law of (x, y) that fills a disc or the plane.

    Raises:
        NotExactError: as `refine`.
    """
    accuracy = accuracy_for(tolerance)
    if stepper.problem.output == "gaussian":
        return refine(lambda some: _over_line(stepper, some, accuracy), ORDERS, tolerance)
    disc = _disc(stepper, accuracy)
    orders = ORDERS if disc.met and disc.n > 2 else ORDERS[:1]
    found = refine(lambda some: _over_disc(stepper, disc, some, accuracy), orders, tolerance)
    return replace(found, evaluations=found.evaluations + disc.evaluations)


def _over_line(stepper: Stepper, orders: Sequence[int], accuracy: float) -> list[Sum]:
    """Hermite rules in x for a Gaussian law."""
    problem = stepper.problem
    rules = [normal_rule(order) for order in orders]
    rules = [(t[weight > NEGLIGIBLE], weight[weight > NEGLIGIBLE]) for t, weight in rules]
    t = np.concatenate([rule[0] for rule in rules])
    centre = problem.center[1] / problem.scale
    reach = 12.0 + abs(centre)
    line = _chords_at(problem, t)
    found = thresholds(stepper, line, np.zeros(t.size), half=0.5, limit=reach, accuracy=accuracy)
    y = -found.at - centre
    error = np.where(found.ordered, np.exp(-0.5 * y * y) * found.error, 1.0)
    return _summed([rule[1] for rule in rules], ndtr(-y), ndtr(y), error, found.evaluations)


def _summed(
    weights: Sequence[Array], good: Array, bad: Array, error: Array, evaluations: int
) -> list[Sum]:
    """The sums of several rules whose nodes lie one after another."""
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    parts = zip(*(np.split(each, ends) for each in (good, bad, error)), strict=True)
    sums = []
    for weight, each in zip(weights, parts, strict=True):
        yes, no, rest = (np.array([weight @ x]) for x in each)
        sums.append(Sum(yes, no, rest, 0))
    return [sums[0]._replace(evaluations=evaluations), *sums[1:]]


def _chords_at(problem: Problem, t: Array) -> Line:
    """Lines of outputs down the chords at x = centre + scale · t, in units of the scale."""
    x = problem.center[0] + problem.scale * t
    norm2 = np.full(t.size, problem.norm2)
    return output_line(problem, x, problem.angle, norm2, problem.scale)


def _starts(problem: Problem, t: Array, u: Array) -> Array:
    """Starts at φ₀ in these places of the unit disc, (4, …)."""
    s, m = problem.scalars(
        problem.center[0] + problem.scale * t, problem.center[1] + problem.scale * u
    )
    return np.stack([np.full_like(s, problem.angle), s, m, np.full_like(s, problem.norm2)])


def _mass(n: int, low: Array | float, high: Array | float) -> Array:
    """P(low < t < high); no digits are lost where both lie on one side of 0."""
    t = np.stack(np.broadcast_arrays(low, high)).astype(np.float64)
    above, below = beyond(0.5 * (n - 1), (1.0 - t) * (1.0 + t), t > 0.0)
    inside = np.where(t[0] > 0.0, above[0] - above[1], below[1] - below[0])
    return np.asarray(inside, dtype=np.float64)


def _disc(stepper: Stepper, accuracy: float) -> Disc:
    """Where the boundary crosses the edge of the disc, and the chords that miss it.

    A piece whose chords are global below and spurious above, or hold starts of both outcomes
    though they end alike, has lost its order, and with it as much of its mass.
    """
    problem = stepper.problem
    n = problem.k + (2 if problem.output == "ball" else 0)
    turns, error, evaluations = _crossings(stepper, accuracy)
    cut = np.array([np.pi, *turns[np.argsort(np.cos(turns))], 0.0])
    ends, sides = np.cos(cut), np.sin(cut)
    low, high = ends[:-1], ends[1:]
    t = 0.5 * (low + high) + 0.5 * (high - low) * ACROSS[:, None]
    u = np.sqrt((1.0 - t) * (1.0 + t)) * (UP if n > 2 else UP[[0, -1]])[:, None, None]
    label = decided(stepper, _starts(problem, np.broadcast_to(t, u.shape), u))
    below, above = label[0, ACROSS.size // 2], label[-1, ACROSS.size // 2]
    mass = _mass(n, low, high)
    crossed = (above == Outcome.GLOBAL) & (below == Outcome.SPURIOUS)
    wrong = np.where(above == below, np.mean(label != above, axis=(0, 1)), ~crossed)
    met = crossed & (mass > UNSEEN)
    rows = np.stack([low, high, sides[:-1], sides[1:]], axis=1)
    good = float(mass @ ((above == Outcome.GLOBAL) & ~met))
    return Disc(
        n=n,
        met=tuple(Piece(*row) for row in rows[met].tolist()),
        good=good,
        bad=float(mass @ ((above != Outcome.GLOBAL) & ~met)),
        noise=float(mass @ wrong) + (error / np.pi if n == 2 else 0.0),
        evaluations=evaluations + label.size,
    )


def _crossings(stepper: Stepper, accuracy: float) -> tuple[Array, float, int]:
    """Directions in which the boundary crosses the circle, the sum of their errors, trial runs.

    The threshold angle is a smooth function of the direction, so its trigonometric interpolant
    shows every change of sign of φ_c − φ₀; each is then found as a threshold along the circle.

    Raises:
        NotExactError: a change of sign is no threshold.
    """
    problem, evaluations = stepper.problem, 0
    norm2 = np.full(_DIRECTIONS[-1], problem.norm2)
    for count in _DIRECTIONS:
        turn = 2.0 * np.pi * np.arange(count) / count
        x = problem.center[0] + problem.scale * np.cos(turn)
        y = problem.center[1] + problem.scale * np.sin(turn)
        line = angle_line(problem, x, y, norm2[:count])
        found = thresholds(stepper, line, edge_guess(stepper, count), check=False)
        evaluations += found.evaluations
        if not np.all(found.ordered):
            raise NotExactError(f"no threshold was found at the edge of the start law: {INSTEAD}")
        wave = np.fft.rfft(np.clip(found.at, -40.0, 40.0) - math.log(math.tan(0.5 * problem.angle)))
        if np.abs(wave[-count // 8 :]).max() <= _TAIL * count:
            break
    fine = np.fft.irfft(wave, _FINE) * (_FINE / count)
    side = fine > 0.0
    at = np.flatnonzero(side != np.roll(side, -1))
    if not at.size:
        return np.zeros(0), 0.0, evaluations
    gap = 2.0 * np.pi / _FINE
    guess = gap * (at + fine[at] / (fine[at] - np.roll(fine, -1)[at]))
    sense = np.where(side[at], 1.0, -1.0)

    def around(xi: Array, number: NDArray[np.intp]) -> Array:
        turn = guess[number, None] + sense[number, None] * xi
        return _starts(problem, np.cos(turn), np.sin(turn))

    found = thresholds(
        stepper,
        around,
        np.zeros(at.size),
        half=gap,
        limit=0.1,
        check=False,
        accuracy=accuracy,
    )
    if not np.all(found.ordered & np.isfinite(found.at)):
        raise NotExactError(f"outcomes alternate along the edge of the start law: {INSTEAD}")
    turns = np.asarray(guess + sense * found.at, dtype=np.float64)
    return turns, float(found.error.sum()), evaluations + found.evaluations


def _over_disc(stepper: Stepper, disc: Disc, orders: Sequence[int], accuracy: float) -> list[Sum]:
    """Gauss rules over the chords that meet the boundary, closed forms for the others."""
    problem, n = stepper.problem, disc.n
    if n == 2 or not disc.met:
        # On a circle a chord is its two ends.
        half = 0.5 * sum(float(_mass(n, one.low, one.high)) for one in disc.met)
        good, bad, noise = (np.array([x]) for x in (disc.good + half, disc.bad + half, disc.noise))
        return [Sum(good, bad, noise, 0)]
    rules = []
    for order in orders:
        parts = [_rule(n, piece, order) for piece in disc.met]
        rules.append([np.concatenate(part) for part in zip(*parts, strict=True)])
    t, guess = (np.concatenate([rule[i] for rule in rules]) for i in (0, 1))
    across = np.sqrt((1.0 - t) * (1.0 + t))
    centre = problem.center[1] / problem.scale
    found = thresholds(
        stepper,
        _chords_at(problem, t),
        -(guess + centre),
        half=0.25,
        limit=2.0 + abs(centre),
        accuracy=accuracy,
    )
    u = np.clip((-found.at - centre) / across, -1.0, 1.0)
    half = 0.5 * (n - 2)
    inside = (1.0 - u) * (1.0 + u)
    good, bad = beyond(half, inside, u > 0.0)
    density = np.exp((half - 1.0) * np.log(np.maximum(inside, 1e-300)) - betaln(0.5, half))
    error = np.where(found.ordered, density * found.error / across, 1.0)
    return [
        Sum(disc.good + one.good, disc.bad + one.bad, disc.noise + one.noise, one.evaluations)
        for one in _summed([rule[2] for rule in rules], good, bad, error, found.evaluations)
    ]


def _rule(n: int, piece: Piece, order: int) -> tuple[Array, Array, Array]:
    """t, a guess of the boundary's u there, and weights: a Gauss rule in θ for the law of t.

    The nodes of a fine rule in θ with the density of t are a discrete law, which agrees with that
    of t to rounding; `law_rule` gives its Gauss rule.
    """
    # Further out there is no mass.
    far = math.sqrt(betainccinv(0.5, 0.5 * (n - 1), UNSEEN))
    first, last = max(piece.low, -far), min(piece.high, far)
    x, weight = symmetric_rule(0.0, _NODES)
    panel = np.pi / _PANELS
    turn = (-0.5 * np.pi + panel * (np.arange(_PANELS)[:, None] + 0.5 * (1.0 + x))).ravel()
    middle, wide = 0.5 * (first + last), 0.5 * (last - first)
    t = middle + wide * np.sin(turn)
    log = 0.5 * (n - 3) * np.log((1.0 - t) * (1.0 + t))
    density = np.tile(weight, _PANELS) * np.exp(log - log.max()) * np.cos(turn)
    mass = _mass(n, piece.low, piece.high) / density.sum()
    at, weight = law_rule(turn, density * mass, order)
    keep = weight > NEGLIGIBLE
    t = middle + wide * np.sin(at[keep])
    straight = (t - piece.low) / (piece.high - piece.low)
    return t, piece.start + (piece.end - piece.start) * straight, weight[keep]
