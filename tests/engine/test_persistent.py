"""The persistent kernel gives what the plain loop gives, restart by restart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import RefusedError
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.launch import compiled_shape
from jaxcnn.engine.persistent import launch_persistent
from jaxcnn.engine.pieces import Job, Piece, work_of
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

PLAIN = LaneSettings(width=64, capacity=256, tasks=4, check_every=8)
KERNEL = PLAIN._replace(persistent=16)
CELLS = [Cell(k=25, ratio=r, step_size=0.05, max_steps=n) for r, n in ((1.0, 9000), (4.0, 100))]


def jobs():
    built = [build(cell, engine="reduced", dtype="float32") for cell in CELLS]
    return built[0].family, [
        Job(b.params, first, 150, cell.max_steps)
        for b, cell, first in zip(built, CELLS, (0, 2**32 - 70), strict=True)
    ]


def test_outcomes_and_steps_are_those_of_the_plain_loop():
    """Two cells, one with a step limit that some runs meet; more restarts than lanes."""
    family, asked = jobs()
    plain, _ = run(family, asked, seed=1, settings=PLAIN, streams=1)
    kernel, account = run(family, asked, seed=1, settings=KERNEL, streams=1)
    for one, other in zip(plain, kernel, strict=True):
        np.testing.assert_array_equal(one.outcomes, other.outcomes)
        # One arithmetic, compiled twice: a step count may move by one check.
        assert np.abs(one.steps.astype(int) - other.steps.astype(int)).max() <= 8
    assert {Outcome.GLOBAL, Outcome.SPURIOUS, Outcome.UNDECIDED} <= set(kernel[1].outcomes.tolist())
    assert 0.1 < account.utilisation <= 1


def test_it_lowers_for_a_gpu():
    """Down to Triton's own language, where there is no GPU to compile that for."""
    family, asked = jobs()
    shape = compiled_shape(KERNEL)
    work = work_of(asked, [Piece(0, 0, 0, 150), Piece(1, 0, 0, 50)], 0, shape)
    work = jax.tree.map(jnp.asarray, work)
    with jax.enable_x64(False):
        traced = launch_persistent.trace(family, shape, work)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "triton" in text


def test_arrays_are_refused():
    built = build(CELLS[0], engine="full", dtype="float32")
    settings = built.settings._replace(persistent=16, width=64, capacity=256)
    with pytest.raises(RefusedError, match="persistent = 16: needs a state of scalars"):
        run(built.family, [Job(built.params, 0, 10, 100)], seed=0, settings=settings)
