"""One kernel or many: the same results, and no argument that XLA would stumble over."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn.base.cell import Cell
from jaxcnn.engine import compiling, moving
from jaxcnn.engine.compiling import apart, by_parts, fits_one_kernel, has_one_kernel, one_kernel
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.moving import move, places
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import run
from jaxcnn.study.build import build

only_here = pytest.mark.skipif(not has_one_kernel(), reason="kernels are not joined here")


@pytest.fixture
def many_kernels(monkeypatch):
    """As on an accelerator, or with another XLA."""

    def switch_off():
        for module in (compiling, moving):
            monkeypatch.setattr(module, "has_one_kernel", lambda: False)

    return switch_off


def marked(function, *args):
    """How many calls of the compiled function are one kernel by our wish."""
    text = jax.jit(function).lower(*args).compile().as_text()
    ours = [line for line in text.splitlines() if 'inlineable="false"' in line and " call(" in line]
    return sum('xla_cpu_small_call="true"' in line for line in ours)


def several(x, unread, kept, pair):
    """A loop, an argument nobody reads, one that is handed back, one read for nothing."""
    _ = jnp.sin(pair[1])

    def once(i, carry):
        y, total = carry
        y = jnp.sin(y) * 0.5 + x[i]
        return y, total + jnp.sum(y).astype(total.dtype)

    turned, total = lax.fori_loop(0, 3, once, (x, pair[0]))
    return {"turned": turned, "kept": kept, "total": total}


@only_here
def test_a_call_is_handed_what_it_reads_and_changes_nothing():
    """XLA ends the process for a kernel with an argument that is not read."""
    args = (jnp.arange(5.0), jnp.ones(7), jnp.arange(4), (jnp.float32(2), jnp.ones(3)))
    plain = jax.jit(several)(*args)
    for wrap in (one_kernel, apart):
        jax.tree.map(np.testing.assert_allclose, jax.jit(wrap(several))(*args), plain)
        # Constants of the program around it, which XLA would put in their place inside.
        around = jax.jit(lambda x, wrap=wrap: wrap(several)(x, x, x, (jnp.full((), 2.0) * 1, x)))
        np.testing.assert_allclose(around(args[0])["total"], plain["total"], rtol=1e-6)
    assert marked(one_kernel(several), *args) > 0


@only_here
def test_numbers_stay_numbers():
    """Outside of a program nothing is compiled; in one, numbers are no arguments."""
    calls = []

    def powers(x, n):
        calls.append(type(n))
        return lax.fori_loop(0, n, lambda _, c: (c[0] * x, c[1] + c[0]), (x, x))

    assert float(one_kernel(powers)(2.0, 3)[0]) == 16.0
    assert float(apart(powers)(np.float64(2), 3)[0]) == 16.0
    assert float(jax.jit(lambda x: one_kernel(powers)(x, 3))(2.0)[0]) == 16.0
    assert calls == [int] * 3


@only_here
@pytest.mark.parametrize("wrap", [one_kernel, apart])
def test_a_single_costly_result_is_not_split_among_threads(wrap):
    """Only where there are several cores XLA would, and then could not call what it made."""

    def costly(x):
        return sum(jnp.sin(x * i) / (1.5 + jnp.cos(x + i)) for i in range(60))

    x = jnp.linspace(0.0, 1.0, 2**17)
    np.testing.assert_allclose(jax.jit(wrap(costly))(x), jax.jit(costly)(x), rtol=1e-9)


@only_here
def test_what_is_apart_is_computed_once():
    """Two results that share a product: with it apart there is one, else one for each."""

    def products(share, x):
        both = jax.jit(lambda x: (lambda y: (jnp.sin(y), jnp.cos(y) + y))(share(x)))
        return both.lower(x).compile().as_text().count("multiply(")

    def costly(x):
        return x * x * x * x * x

    x = jnp.arange(64.0)
    assert products(apart(costly), x) < products(costly, x)


@only_here
def test_products_sorts_and_scatters_are_left_out_of_kernels():
    x = jnp.eye(4)
    for unfit in (
        lambda x: x @ x,
        lambda x: jnp.sort(x),
        lambda x: lax.fori_loop(0, 2, lambda _, y: y @ x, x),
    ):
        assert not fits_one_kernel(jax.make_jaxpr(unfit)(x))
        assert marked(one_kernel(unfit), x) == 0
        np.testing.assert_allclose(jax.jit(one_kernel(unfit))(x), unfit(x))


@pytest.mark.parametrize("size", [1, 5, 64])
def test_lanes_are_found_and_moved_alike_one_by_one_and_at_once(size, many_kernels):
    random = np.random.default_rng(size)
    masks = [random.random(64) < share for share in (0.0, 0.1, 0.6, 1.0)]
    source = {"a": jnp.asarray(random.random((3, 64))), "b": jnp.arange(64)}
    target = jax.tree.map(jnp.zeros_like, source)
    slots = jnp.asarray(random.permutation(64)[:size].astype(np.int32))

    def both(mask):
        found, count = places(mask, size)
        return (
            jnp.where(jnp.arange(size) < count, found, -1),
            count,
            move(source, found, target, slots, count),
        )

    one_by_one = [jax.jit(both)(mask) for mask in masks]
    many_kernels()
    at_once = [jax.jit(lambda mask: both(mask))(mask) for mask in masks]
    for mask, (found, count, moved), other in zip(masks, one_by_one, at_once, strict=True):
        expected = np.flatnonzero(mask)[:size]
        assert count == len(expected)
        np.testing.assert_array_equal(found[:count], expected)
        np.testing.assert_array_equal(moved["b"][slots[:count]], expected)
        jax.tree.map(np.testing.assert_array_equal, (found, count, moved), other)


@only_here
@pytest.mark.parametrize("engine", ["reduced", "full"])
def test_a_run_comes_to_the_same_outcomes_without_one_kernel(engine, many_kernels):
    """Settings of their own, so that nothing compiled is used again."""
    built = build(Cell(k=9, p=4, ratio=2.0, step_size=0.1), engine=engine, dtype="float32")
    settings = LaneSettings(width=64, tasks=1, capacity=2048, shared=engine == "full")
    job = Job(built.params, 0, 1500, 10**5)
    (one,), _ = run(built.family, [job], seed=3, settings=settings, streams=1)
    many_kernels()
    settings = settings._replace(capacity=2112)
    (many,), _ = run(built.family, [job], seed=3, settings=settings, streams=1)
    np.testing.assert_array_equal(one.outcomes, many.outcomes)
    # One arithmetic, compiled twice: a step count may move by one check.
    assert np.abs(one.steps.astype(int) - many.steps.astype(int)).max() <= settings.check_every


@pytest.mark.parametrize("lanes", [32, 64, 96, 100])
def test_parts_of_the_lanes_make_up_the_whole(lanes):
    """One part, several, no whole number; a function that fits no kernel; numbers and scalars."""

    def fits(x, y):
        return {"sum": x["a"] * 2, "sin": jnp.sin(y)}

    def misfit(x, y):
        return {"sum": x["a"] * 2, "sin": jnp.sort(jnp.sin(y), axis=0)}

    x, y = {"a": jnp.arange(2.0 * lanes).reshape(2, lanes)}, jnp.linspace(0.0, 1.0, lanes)
    wide = (x, jnp.stack([y, -y]))
    for function in (fits, misfit):
        whole = partial(by_parts, function, part=32)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-6), jax.jit(whole)(*wide), function(*wide)
        )
    into = {"sum": x["a"] * 7, "sin": y}
    written = jax.jit(lambda x, y, into: by_parts(fits, x, y, part=32, into=into))(x, y, into)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), written, fits(x, y))
    assert float(jax.jit(lambda z: by_parts(jnp.sin, z, part=32))(0.5)) == pytest.approx(
        np.sin(0.5)
    )
    assert by_parts(lambda z: z + 1, 2.0, part=32) == 3.0
