"""When a run counts as having arrived, settled elsewhere or diverged."""

from functools import partial

import jax
import numpy as np
import optax
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.outcome import Outcome
from jaxcnn.descent import arrival
from jaxcnn.model.activation import activation
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.build_rule import goal
from jaxcnn.study.estimate import estimate

TEACHER = Teacher(k=25, ratio=4.0)
GOAL = goal(Cell(k=25, ratio=4.0), TEACHER, activation("relu"))


STEPS = 20_000


@partial(jax.jit, static_argnums=2)
def _codes(angles, losses, odd):
    def body(track, point):
        track = arrival.follow(GOAL, track, *point, odd)
        return track, arrival.verdict(track)

    return jax.lax.scan(body, arrival.begin(losses.dtype), (angles, losses))[1]


def follow(points, odd=False):
    """Outcome and step of a run through (angle, loss) points, the last one repeated."""
    rows = np.array([*points, *[points[-1]] * (STEPS - len(points))], float)[:STEPS]
    codes = np.asarray(_codes(rows[:, 0], rows[:, 1], odd))
    ends = np.flatnonzero(codes)
    return (Outcome(int(codes[ends[0]])), ends[0] + 1) if ends.size else (Outcome.RUNNING, STEPS)


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


@pytest.mark.parametrize("loss", [np.nan, np.inf, 1e13])
def test_divergence(loss):
    assert follow([(1.0, loss)])[0] is Outcome.DIVERGED


def test_slow_progress_is_progress():
    """A loss that halves with every doubling of time never settles elsewhere."""
    assert follow([(1.0, 1e3 / t) for t in range(1, STEPS)])[0] is Outcome.RUNNING


def test_slow_runs_are_not_called_settled():
    """Momentum 0 is plain descent, index by index, whose outcomes are proved."""
    words = {"k": 25, "ratio": 4.0, "step_size": 0.01}
    proved = estimate(Cell(**words), restarts=500)
    slow = estimate(Cell(**words, optimizer="momentum", momentum=0.0), restarts=500)
    assert proved.counts.undecided == slow.counts.other == 0
    assert np.array_equal(slow.outcomes, proved.outcomes)


def test_nor_are_those_of_an_optax_object():
    for optimizer in (optax.sgd(0.004), optax.chain(optax.clip(10.0), optax.sgd(0.004))):
        slow = estimate(Cell(k=4, p=3, ratio=1.0), restarts=100, optimizer=optimizer)
        assert slow.counts.other == 0
