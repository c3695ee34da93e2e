r"""The probability at a fixed start angle φ₀, where the outcome is an indicator of (x, y).

The boundary is a curve in the plane, and the law of (x, y) about its centre is the same in every
direction. So turn the plane until the threshold angle grows along u and, to first order, not
across, along t: the curve is u = u_c(t), nearly flat, the global side above it, the law of u on a
chord t = const is known in closed form, and

    P(global) = E_t P(u > u_c(t) | t).

Gaussian outputs take a Hermite rule in t. Outputs in a ball or on a sphere fill a disc, which the
curve enters and leaves: where it crosses the circle the integrand has a kink. So the crossings
are found first, as thresholds along the circle. A chord that misses the curve ends on one side
only and counts with its mass in closed form. Those that meet it lie between two crossings, and
there

    t = middle + half width · sin θ,    −π/2 < θ < π/2,

makes the integrand analytic: near a crossing t_i it is an analytic function plus another times
(t − t_i)^(n/2 − 1), n whole. The rule is the Gauss rule of the law of θ there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import betainccinv, betaln, ndtr

from jaxcnn.base.errors import NotExactError
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.circle import DIRECTIONS, Frame, changes, crossings, edge
from jaxcnn.basin.marginal import beyond
from jaxcnn.basin.problem import INSTEAD, Array
from jaxcnn.basin.refine import Converged, Sum, refine
from jaxcnn.basin.rules import NEGLIGIBLE, law_rule, normal_rule, symmetric_rule
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import (
    accuracy_for,
    angle_line,
    decided,
    edge_guess,
    thresholds,
)

ORDERS = (4, 5, 7, 8, 11, 12, 17, 24, 33, 48, 65, 96, 129, 192)
"""Even and odd: even rules alone all give ½ to an outcome that changes in their middle."""
UNSEEN = 1e-22
"""Mass of t that is left out, on both sides together."""
REACH = 12.0
"""Deviations beyond which the threshold of a Gaussian law is not sought."""
UP = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
"""Where on chords that should have one outcome it is checked, from end to end."""
ACROSS = np.sin(0.5 * np.pi * np.array([-0.9, -0.5, 0.0, 0.5, 0.9]))
"""Which of these chords are checked; those at the ends of a piece lie on the boundary."""
_PANELS, _NODES = 24, 32


class Piece(NamedTuple):
    """Chords that meet the boundary, between two of its crossings with the circle.

    Attributes:
        low: t at one end.
        high: t at the other.
        start: u of the boundary at `low`.
        end: u of the boundary at `high`.
    """

    low: float
    high: float
    start: float
    end: float


@dataclass(frozen=True)
class Disc:
    """A disc of starts, its chords told apart by where they end.

    Attributes:
        frame: of its places.
        n: coordinates of the uniform direction of which t is one and u the next.
        met: the pieces whose chords meet the boundary.
        good: mass of the chords that are global from end to end.
        bad: mass of those that are spurious.
        noise: mass lost, and the error of the crossings where it counts.
        evaluations: trial runs so far.
    """

    frame: Frame
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
        frame = Frame(stepper.problem, 0.0)
        wave, evaluations = frame.wave(stepper, DIRECTIONS[0])
        frame = frame.turned(wave)
        found = refine(lambda some: _over_line(stepper, frame, some, accuracy), ORDERS, tolerance)
    else:
        disc = _disc(stepper, accuracy)
        evaluations = disc.evaluations
        orders = ORDERS if disc.met and disc.n > 2 else ORDERS[:1]
        found = refine(lambda some: _over_disc(stepper, disc, some, accuracy), orders, tolerance)
    return replace(found, evaluations=found.evaluations + evaluations)


def _over_line(stepper: Stepper, frame: Frame, orders: Sequence[int], accuracy: float) -> list[Sum]:
    """Hermite rules in t for a Gaussian law."""
    rules = [normal_rule(order) for order in orders]
    rules = [(t[weight > NEGLIGIBLE], weight[weight > NEGLIGIBLE]) for t, weight in rules]
    t = np.concatenate([rule[0] for rule in rules])
    guess = np.zeros(t.size)
    found = thresholds(stepper, frame.chords(t), guess, half=0.5, limit=REACH, accuracy=accuracy)
    u = -found.at
    density = np.exp(-0.5 * u * u)
    error = np.where(np.isinf(u), ndtr(-REACH), np.where(found.ordered, density * found.error, 1.0))
    return _summed([rule[1] for rule in rules], ndtr(-u), ndtr(u), error, found.evaluations)


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


def _mass(n: int, low: Array | float, high: Array | float) -> Array:
    """P(low < t < high); no digits are lost where both lie on one side of 0."""
    t = np.stack(np.broadcast_arrays(low, high)).astype(np.float64)
    above, below = beyond(0.5 * (n - 1), t, (1.0 - t) * (1.0 + t))
    inside = np.where(t[0] > 0.0, above[0] - above[1], below[1] - below[0])
    return np.asarray(inside, dtype=np.float64)


def _disc(stepper: Stepper, accuracy: float) -> Disc:
    """Where the boundary crosses the edge of the disc, and the chords that miss it.

    A piece whose chords are global below and spurious above, or hold starts of both outcomes
    though they end alike, has lost its order, and with it as much of its mass.
    """
    problem = stepper.problem
    n = problem.k + (2 if problem.output == "ball" else 0)
    frame, wave, evaluations = edge(stepper)
    turns, unseen = changes(wave)
    lost = float(np.sum(_mass(n, np.cos(unseen), 1.0)))
    turns, error, more = crossings(stepper, frame, turns, accuracy)
    cut = np.array([np.pi, *turns[np.argsort(np.cos(turns))], 0.0])
    ends, sides = np.cos(cut), np.sin(cut)
    low, high = ends[:-1], ends[1:]
    t = 0.5 * (low + high) + 0.5 * (high - low) * ACROSS[:, None]
    u = np.sqrt((1.0 - t) * (1.0 + t)) * (UP if n > 2 else UP[[0, -1]])[:, None, None]
    label = decided(stepper, frame.starts(np.broadcast_to(t, u.shape), u))
    below, above = label[0, ACROSS.size // 2], label[-1, ACROSS.size // 2]
    mass = _mass(n, low, high)
    crossed = (above == Outcome.GLOBAL) & (below == Outcome.SPURIOUS)
    alike = (above == below) & (above != Outcome.UNDECIDED)
    wrong = np.where(alike, np.mean(label != above, axis=(0, 1)), ~crossed)
    met = crossed & (mass > UNSEEN)
    rows = np.stack([low, high, sides[:-1], sides[1:]], axis=1)
    return Disc(
        frame=frame,
        n=n,
        met=tuple(Piece(*row) for row in rows[met].tolist()),
        good=float(mass @ ((above == Outcome.GLOBAL) & ~met)),
        bad=float(mass @ ((above != Outcome.GLOBAL) & ~met)),
        noise=float(mass @ wrong) + lost + (error / np.pi if n == 2 else 0.0),
        evaluations=evaluations + more + label.size,
    )


def _over_disc(stepper: Stepper, disc: Disc, orders: Sequence[int], accuracy: float) -> list[Sum]:
    """Gauss rules over the chords that meet the boundary, closed forms for the others."""
    n = disc.n
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
    found = thresholds(
        stepper, disc.frame.chords(t), -guess, half=0.25, limit=2.0, accuracy=accuracy
    )
    across = np.sqrt((1.0 - t) * (1.0 + t))
    u = np.clip(-found.at / across, -1.0, 1.0)
    half = 0.5 * (n - 2)
    inside = (1.0 - u) * (1.0 + u)
    good, bad = beyond(half, u, inside)
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
