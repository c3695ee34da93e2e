"""diffrax: the gradient flow, adaptive steps and an event at each lane's arrival, under vmap.

It is the limit of small step sizes, another number than descent at 0.05 has, and it is compared
with jaxcnn's own gradient flow. A step here is one accepted or rejected step of Tsit5.
"""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.autodiff import angles, population_loss
from benchmarks.peers.question import LIMIT, NEAR, Fixed

FLOW = True


@jax.jit
def _solve(v, a, w_star, a_star):
    def slope(t, y, args):
        return jax.tree.map(
            jnp.negative, jax.grad(lambda z: population_loss(*z, w_star, a_star))(y)
        )

    def arrived(t, y, args, **_):
        angle = angles(y[0][None], w_star)[0]
        return (angle < NEAR) | (angle > jnp.pi - NEAR)

    def one(v, a):
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Tsit5(),
            t0=0.0,
            t1=LIMIT * 0.05,
            dt0=0.1,
            y0=(v, a),
            stepsize_controller=diffrax.PIDController(rtol=1e-3, atol=1e-5),
            event=diffrax.Event(arrived),
            saveat=diffrax.SaveAt(t1=True),
            max_steps=4096,
            throw=False,
        )
        return found.ys[0][-1], found.stats["num_steps"]

    v, steps = jax.vmap(one)(v, a)
    return angles(v, w_star), steps


def until_settled(v, a, at: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Angles, and steps of each lane."""
    angle, steps = _solve(v, a, at.w_star, at.a_star)
    return np.asarray(angle), np.asarray(steps)
