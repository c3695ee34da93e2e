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
    thresholds,
)

Wave = NDArray[np.complex128]
"""Fourier coefficients c₀, c₁, … of a real function of the direction."""

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
_DIRECTIONS = (32, 64, 128, 256, 512, 1024)
_TAIL = 1e-8
"""What the interpolant along the circle may leave out of ξ."""
_FINE = 4096
_PANELS, _NODES = 24, 32


class Frame(NamedTuple):
    """Places (t, u) about the centre of the start law, in units of its scale.

    Attributes:
        problem: the problem.
        tilt: angle from x to t, and from y to u.
    """

    problem: Problem
    tilt: float

    def outputs(self, t: Array, u: Array) -> tuple[Array, Array]:
        """(x, y) of places."""
        at, cos, sin = self.problem, math.cos(self.tilt), math.sin(self.tilt)
        x, y = t * cos - u * sin, t * sin + u * cos
        return at.center[0] + at.scale * x, at.center[1] + at.scale * y

    def starts(self, t: Array, u: Array) -> Array:
        """Starts at φ₀, (4, …)."""
        s, m = self.problem.scalars(*self.outputs(t, u))
        return np.stack(
            [np.full_like(s, self.problem.angle), s, m, np.full_like(s, self.problem.norm2)]
        )

    def chords(self, t: Array) -> Line:
        """Lines down the chords, ξ = −u."""

        def line(xi: Array, number: NDArray[np.intp]) -> Array:
            return self.starts(np.broadcast_to(t[number, None], xi.shape), -xi)

        return line

    def wave(self, stepper: Stepper, count: int) -> tuple[Wave, int]:
        """Fourier coefficients of ξ_c − ξ₀ along the circle of radius 1, and trial runs.

        ξ = log tan(φ/2), so that both ends of the angle keep their digits.

        Raises:
            NotExactError: a direction has no threshold.
        """
        turn = 2.0 * np.pi * np.arange(count) / count
        x, y = self.outputs(np.cos(turn), np.sin(turn))
        line = angle_line(self.problem, x, y, np.full(count, self.problem.norm2))
        found = thresholds(stepper, line, edge_guess(stepper, count), check=False)
        if not np.all(found.ordered):
            raise NotExactError(f"no threshold was found at the edge of the start law: {INSTEAD}")
        start = math.log(math.tan(0.5 * self.problem.angle))
        return np.fft.rfft(np.clip(found.at, -40.0, 40.0) - start) / count, found.evaluations

    def turned(self, wave: Wave) -> Frame:
        """The frame in which the first harmonic of a wave grows along u."""
        # f = 2 Re(c₁ e^(iβ)) grows fastest towards β = −arg c₁, where u shall point.
        return self._replace(tilt=self.tilt - float(np.angle(wave[1])) - 0.5 * np.pi)


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
        wave, evaluations = frame.wave(stepper, _DIRECTIONS[0])
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
    frame, wave, evaluations = _edge(stepper)
    turns, unseen = _changes(wave)
    lost = float(np.sum(_mass(n, np.cos(unseen), 1.0)))
    turns, error, more = _crossings(stepper, frame, turns, accuracy)
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


def _edge(stepper: Stepper) -> tuple[Frame, Wave, int]:
    """The frame, the wave of ξ_c − ξ₀ in it along the edge of the disc, trial runs.

    Raises:
        NotExactError: the wave needs more directions than `_DIRECTIONS` has.
    """
    frame, evaluations = Frame(stepper.problem, 0.0), 0
    for count in _DIRECTIONS:
        wave, more = frame.wave(stepper, count)
        evaluations += more
        if np.abs(wave[-count // 8 :]).max() <= _TAIL:
            turned = frame.turned(wave)
            harmonics = np.arange(wave.size)
            return turned, wave * np.exp(1j * harmonics * turned.tilt), evaluations
    raise NotExactError(
        f"{count} directions do not resolve the boundary at the edge of the start law: {INSTEAD}"
    )


def _changes(wave: Wave) -> tuple[Array, Array]:
    """Directions in which a wave changes sign, and half widths of arcs that it leaves open.

    Between two samples of one sign it can dip through 0, which the parabola through three of them
    shows. Where the dip ends nearer to 0 than the wave is known, nobody can say.
    """
    gap = 2.0 * np.pi / _FINE
    fine = np.fft.irfft(wave, _FINE) * _FINE
    before, after = np.roll(fine, 1), np.roll(fine, -1)
    bend, slope = before - 2.0 * fine + after, 0.5 * (after - before)
    with np.errstate(divide="ignore", invalid="ignore"):
        place, lowest = -slope / bend, fine - 0.5 * slope * slope / bend
        width = np.sqrt(2.0 * (np.abs(lowest) + 10.0 * _TAIL) / np.abs(bend))
    alike = ((before > 0.0) == (fine > 0.0)) & ((after > 0.0) == (fine > 0.0))
    dip = alike & (bend * fine > 0.0) & (np.abs(place) <= 0.5)
    known = np.abs(lowest) > 10.0 * _TAIL
    (at,) = np.nonzero((fine > 0.0) != (after > 0.0))
    (hidden,) = np.nonzero(dip & known & (lowest * fine < 0.0))
    bottom = hidden + place[hidden]
    low = gap * np.concatenate([at, bottom - 1.0, bottom])
    high = gap * np.concatenate([at + 1.0, bottom, bottom + 1.0])
    harmonics = np.arange(1, wave.size)
    rising = _value(wave, harmonics, high) > 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        past = (_value(wave, harmonics, middle) > 0.0) == rising
        low, high = np.where(past, low, middle), np.where(past, middle, high)
    turns = np.sort(0.5 * (low + high))
    # A dip half way between two samples is found from both.
    same = np.diff(turns, prepend=-1.0) < 1e-3 * gap
    return turns[~same], gap * width[dip & ~known]


def _value(wave: Wave, harmonics: NDArray[np.intp], turn: Array) -> Array:
    """The function of which these are the Fourier coefficients."""
    rotated = np.exp(1j * np.outer(turn, harmonics)) @ wave[1:]
    return np.asarray(wave[0].real + 2.0 * rotated.real, dtype=np.float64)


def _crossings(
    stepper: Stepper, frame: Frame, guess: Array, accuracy: float
) -> tuple[Array, float, int]:
    """Directions in which the boundary crosses the circle, the sum of their errors, trial runs.

    Args:
        stepper: the problem.
        frame: of the directions.
        guess: of each, ascending; outcomes change at every one.
        accuracy: asked of each.

    Raises:
        NotExactError: one of them is no threshold.
    """
    if not guess.size:
        return guess, 0.0, 0
    apart = float(np.min(np.diff(guess, append=guess[0] + 2.0 * np.pi)))
    first = frame.starts(*(np.array([f(guess[0] - 0.5 * apart)]) for f in (np.cos, np.sin)))
    # Outcomes alternate: global to spurious at every second one.
    sense = np.where(np.arange(guess.size) % 2 == 0, 1.0, -1.0)
    if decided(stepper, first)[0] != Outcome.GLOBAL:
        sense = -sense

    def around(xi: Array, number: NDArray[np.intp]) -> Array:
        turn = guess[number, None] + sense[number, None] * xi
        return frame.starts(np.cos(turn), np.sin(turn))

    half = min(2.0 * np.pi / _FINE, 0.25 * apart)
    found = thresholds(
        stepper, around, np.zeros(guess.size), half=half, limit=0.1, check=False, accuracy=accuracy
    )
    if not np.all(found.ordered & np.isfinite(found.at)):
        raise NotExactError(f"outcomes alternate along the edge of the start law: {INSTEAD}")
    turns = np.asarray(guess + sense * found.at, dtype=np.float64)
    return turns, float(found.error.sum()), found.evaluations + 1


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
