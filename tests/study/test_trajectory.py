"""Single runs and steps to a loss: the engine's runs beside the same ones step by step."""

import jax
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.model.hermite import from_function
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.trajectory import steps_to, trajectory

TEACHER = Teacher(k=9, ratio=2.0)


@pytest.mark.parametrize("level", [1e-3, 0.1])
def test_steps_to_a_loss_are_those_of_the_trajectory(level):
    """Below 0.1 a run is before anything is proved of it."""
    assert level < landscape(TEACHER).points[-1].loss
    table = steps_to(TEACHER, restarts=30, step_size=0.1, loss=level)
    (reached,) = np.nonzero(table["outcome"] == "global")
    assert set(table["outcome"]) == {"global", "spurious"}
    for restart in map(int, reached[:4]):
        run = trajectory(TEACHER, restart=restart, step_size=0.1, steps=2000, every=1)
        first = int(np.argmax(run["loss"] < level))
        # The engine runs in single precision.
        assert abs(first - int(table["steps"][restart])) <= 1


def test_a_loss_is_reached_where_no_outcome_can_be_proved():
    """At a step size beyond what certificates allow, runs settle all the same."""
    cell = Cell(k=2, ratio=1.0, step_size=3.0, max_steps=20_000)
    table = steps_to(cell, restarts=20, loss=1e-2)
    assert "global" in set(table["outcome"])
    assert len(trajectory(cell.with_(max_steps=10**6))) > 50  # not a row every 250 steps


def test_a_loss_that_spurious_runs_reach_is_refused():
    with pytest.raises(InputError, match=r"loss = 0\.4: must be below 0\.\d+, the loss of the sp"):
        steps_to(TEACHER, loss=0.4, step_size=0.1)
    everywhere = Teacher(k=9, ratio=9.0)  # nothing spurious attracts: any loss will do
    assert set(steps_to(everywhere, loss=1e3, restarts=5, step_size=0.1)["steps"]) == {0}


def test_activations_have_trajectories():
    softplus = from_function(jax.nn.softplus, "softplus")
    for activation in ("leaky_relu", softplus):
        run = trajectory(TEACHER, step_size=0.05, activation=activation, steps=400)
        assert run["loss"].iloc[-1] < run["loss"].iloc[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"optimizer": "adam"}, "optimizer = 'adam'"),
        ({"samples": 100}, "samples = 100"),
        ({"schedule": "cosine", "schedule_steps": 100}, "schedule = 'cosine'"),
    ],
)
def test_other_rules_have_none_and_the_refusal_names_them(words, named):
    with pytest.raises(RefusedError, match=f"{named}: has no trajectory"):
        trajectory(TEACHER, step_size=0.05, **words)


def test_a_restart_beyond_all_is_refused():
    with pytest.raises(InputError, match=r"restart = \d+: must be below 2\*\*63"):
        trajectory(TEACHER, step_size=0.05, restart=2**64)
