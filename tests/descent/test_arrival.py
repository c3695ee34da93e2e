"""When a run counts as having arrived, settled elsewhere or diverged."""

import jax.numpy as jnp
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent import arrival
from jaxcnn.model.activation import activation
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.rules import goal

TEACHER = Teacher(k=25, ratio=4.0)
GOAL = goal(Cell(k=25, ratio=4.0), TEACHER, activation("relu"))


def follow(points, target=GOAL, odd=False):
    """The outcome and step of a run through (angle, loss) points, the last one repeated."""
    track = arrival.begin(jnp.dtype("float64"))
    for count in range(1, 40_000):
        angle, loss = points[min(count, len(points)) - 1]
        track = arrival.follow(target, track, jnp.asarray(angle), jnp.asarray(loss), odd)
        if count < 300 or count % 512 == 0:
            code = int(arrival.verdict(track))
            if code:
                return Outcome(code), count
    return Outcome.RUNNING, count


def test_staying_is_arriving():
    assert follow([(0.01, 1e-5)])[0] is Outcome.GLOBAL
    assert follow([(0.01, 1e-5)])[1] >= arrival.DWELL


def test_passing_by_is_not():
    there, away = (0.01, 1e-5), (1.0, 0.1)
    assert follow([there] * 60 + [away])[0] is Outcome.OTHER


def test_spurious_needs_angle_and_loss():
    place = float(GOAL.spurious_angle[0]), float(GOAL.spurious_loss[0])
    assert follow([place])[0] is Outcome.SPURIOUS
    assert follow([(place[0], place[1] + 0.1)])[0] is Outcome.OTHER


def test_no_spurious_place_above_the_critical_ratio():
    none = goal(Cell(k=25, ratio=9.0), Teacher(k=25, ratio=9.0), activation("relu"))
    assert float(none.spurious_angle[0]) == arrival.NO_PLACE


def test_odd_activations_have_two_global_minima():
    assert follow([(3.14, 1e-5)], odd=True)[0] is Outcome.GLOBAL


@pytest.mark.parametrize("loss", [jnp.nan, jnp.inf, 1e13])
def test_divergence(loss):
    assert follow([(1.0, loss)])[0] is Outcome.DIVERGED


def test_slow_progress_is_progress():
    """A loss that halves with every doubling of time never settles elsewhere."""
    assert follow([(1.0, 1e3 / t) for t in range(1, 40_000)])[0] is Outcome.RUNNING
