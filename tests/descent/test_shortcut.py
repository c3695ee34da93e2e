"""The shortcut: start angle fixed by the teacher, warm-up of the filter's step size."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.descent.full import scalars
from jaxcnn.descent.kernel import kernel_of
from jaxcnn.descent.optimizer import warmup_factor
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.model.activation import activation
from jaxcnn.study.estimate import estimate

WORDS = {"k": 9, "ratio": 1.0, "p": 5, "filter_init": "shortcut"}


def test_start_angle_is_the_teachers():
    for engine in ("full", "reduced"):
        built = built64(Cell(**WORDS, teacher_angle=1.1), engine=engine)
        begun = built.family(built.params).start(jax.random.key(0))
        if engine == "full":
            close(begun.v, np.full(5, 1 / math.sqrt(5)))
            begun = scalars(begun, built.params.target)
        close(begun.angle, 1.1)


def test_warmup_rises_linearly():
    got = [float(warmup_factor(jnp.asarray(4.0), jnp.int32(t))) for t in range(6)]
    assert got == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert float(warmup_factor(jnp.asarray(0.0), jnp.int32(0))) == 1.0


def test_both_engines_take_the_same_steps():
    cell = Cell(**WORDS, teacher_angle=2.0, warmup_steps=50)
    full, reduced = built64(cell, engine="full"), built64(cell, engine="reduced")
    begun = full.family(full.params).start(jax.random.key(3))
    state = reduced.family(reduced.params).start(jax.random.key(0))
    state = state._replace(at=scalars(begun.student, full.params.target))
    student = walk(full, 300, state=begun).student
    expected = scalars(student, full.params.target)
    for got, other in zip(walk(reduced, 300, state=state).at, expected, strict=True):
        close(got, other)


def test_a_small_angle_with_warmup_never_fails_and_a_wide_one_does():
    """Liu et al.: within π/3 of the shortcut descent with warm-up always finds the teacher."""
    settings = LaneSettings(256, 8, False, 8, 2048)
    words = {**WORDS, "warmup_steps": 100}

    def ends(**options):
        return estimate(Cell(**{**words, **options}), restarts=1000, settings=settings)

    for ratio in (0.0, 1.0, 9.0):
        near = ends(ratio=ratio, teacher_angle=math.pi / 3)
        assert near.problem["outcomes"] == "certified"
        assert near.counts.global_ == 1000
    assert ends(teacher_angle=2.9).p_global < 0.9


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "erf", "sin", "gelu", "step"])
def test_kernels_of_activations(name):
    """g and h of kernel.py are 2πK and 2πK′; monotone says whether h ≥ 0."""
    sigma = activation(name, 0.2)
    kernel = kernel_of(sigma)
    assert kernel_of(activation(name, 0.2)) is kernel
    angles = np.linspace(0.05, math.pi - 0.05, 31)
    values, known = kernel.values(jnp.asarray(angles)), sigma.at(angles)
    close(values.g, 2 * math.pi * known.kernel)
    close(values.h, 2 * math.pi * known.derivative)
    close(kernel.mean, 2 * math.pi * sigma.mean**2)
    assert kernel.odd == (name in ("erf", "sin"))
    assert kernel.monotone == (name != "step")
    if kernel.monotone:
        assert np.all(np.asarray(kernel.steepest_beyond(jnp.asarray(angles))) >= values.h - 1e-9)
