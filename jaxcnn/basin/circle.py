"""Where the boundary crosses the edge of the start law, at a fixed start angle.

Around the circle the threshold is a smooth function of the direction: a Fourier series finds its
signs, and each change of sign is then found as a threshold along the circle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.errors import NotExactError
from jaxcnn.base.outcome import Outcome
from jaxcnn.basin.problem import INSTEAD, Array, Problem
from jaxcnn.basin.stepping import Stepper
from jaxcnn.basin.threshold import Line, angle_line, decided, edge_guess, thresholds

Wave = NDArray[np.complex128]
"""Fourier coefficients c₀, c₁, … of a real function of the direction."""

DIRECTIONS = (32, 64, 128, 256, 512, 1024)
"""Around the circle, tried in this order."""
_TAIL = 1e-8
"""What the interpolant along the circle may leave out of ξ."""
_FINE = 4096


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


def edge(stepper: Stepper) -> tuple[Frame, Wave, int]:
    """The frame, the wave of ξ_c − ξ₀ in it along the edge of the disc, trial runs.

    Raises:
        NotExactError: the wave needs more directions than `DIRECTIONS` has.
    """
    frame, evaluations = Frame(stepper.problem, 0.0), 0
    for count in DIRECTIONS:
        wave, more = frame.wave(stepper, count)
        evaluations += more
        if np.abs(wave[-count // 8 :]).max() <= _TAIL:
            turned = frame.turned(wave)
            harmonics = np.arange(wave.size)
            return turned, wave * np.exp(1j * harmonics * turned.tilt), evaluations
    raise NotExactError(
        f"{count} directions do not resolve the boundary at the edge of the start law: {INSTEAD}"
    )


def changes(wave: Wave) -> tuple[Array, Array]:
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


def crossings(
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
