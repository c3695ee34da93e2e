"""The native step of the benchmarks beside the plain one; only where a C++ compiler is."""

import jax
import numpy as np
import pytest

from benchmarks import native
from jaxcnn.base.cell import Cell
from jaxcnn.descent.certificate import Scalars
from jaxcnn.descent.kernel import RELU
from jaxcnn.descent.reduced import step
from jaxcnn.study.build import build

pytestmark = pytest.mark.skipif(
    native.compiler() is None or jax.default_backend() != "cpu", reason="no C++ compiler"
)
STEPS = 64


@pytest.mark.parametrize("lanes", [5, 200])
def test_a_native_stride_is_as_many_plain_steps_to_rounding(lanes):
    """Every lane with rates of its own; 200 is no multiple of the lanes taken at once."""
    cells = [Cell(k=k, ratio=r, step_size=0.05) for k in (25, 49) for r in (0.0, 4.0)]
    params = [build(cells[i % 4], engine="reduced").params for i in range(lanes)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *params)
    law = build(cells[0], engine="reduced").family.law
    family = native.NativeDescent(law, native.register())

    def both(key, params):
        dynamics = family(params)
        start = dynamics.start(key)
        many = jax.lax.fori_loop(0, STEPS, lambda _, at: step(RELU, params.rates, at), start)
        return start, many, dynamics.stride(start, STEPS)

    keys = jax.random.split(jax.random.key(0), lanes)
    start, plain, fast = jax.jit(jax.vmap(both))(keys, stacked)
    assert max(np.abs(plain.angle - start.angle)) > 0.1
    for name, a, b in zip(Scalars._fields, plain, fast, strict=True):
        assert np.allclose(a, b, rtol=2e-5, atol=2e-5), name
