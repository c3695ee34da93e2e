"""What a CPU runs as one kernel, and what it computes once.

XLA runs a program on a CPU kernel by kernel. Handing one over costs 50 ns or so, what a step of 30
lanes takes, and a sequence of more than eight is dealt out to whatever cores are idle, which takes
more than it gives where every core has a launch of its own; so is an operation of much arithmetic,
one half to each of two cores. Inside a kernel one thread computes everything, but computes again
for each of its results what they share. Two attributes of a call settle all this.

They, and an option that goes with them, are no documented part of XLA, so they are set for the
versions they were tested with alone; elsewhere, and on other devices, the same is computed without
them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, wraps
from importlib.metadata import version
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

Function = TypeVar("Function", bound=Callable[..., Any])

_TESTED = "0.10."
"""Versions of jaxlib whose kernels have been compared with the same computed without them."""
_HERE = version("jaxlib").startswith(_TESTED)
ONE_THREAD: dict[str, bool | str] = {"xla_cpu_multi_thread_eigen": False}
"""Compiler options of a launch: there is one for each core, and threads inside would only wait."""
NO_LIBRARY = {**ONE_THREAD, **({"xla_cpu_experimental_ynn_fusion_type": ""} if _HERE else {})}
"""The same, and sums of a few thousand numbers are no library's, which no kernel can call."""
_APART = {"inlineable": "false"}
_ONE_KERNEL = {**_APART, "xla_cpu_small_call": "true"}
_metadata: Callable[..., Any] = set_xla_metadata
_barrier: Callable[..., Any] = lax.optimization_barrier
_INSIDE: ContextVar[bool] = ContextVar("_INSIDE", default=False)

# What such a kernel can hold: no products, sorts, scatters, calls of a library.
_KNOWN = frozenset(
    """
    abs acos acosh add and asin asinh atan atan2 atanh broadcast_in_dim cbrt ceil clamp concatenate
    convert_element_type copy copy_p cos cosh div dynamic_slice dynamic_update_slice eq erf erf_inv
    erfc exp exp2 expm1 floor gather ge gt integer_pow iota is_finite le lgamma log log1p logistic
    lt max min mul ne neg nextafter not or pow reduce_and reduce_max reduce_min reduce_or
    reduce_sum rem reshape round rsqrt select_n sign sin sinh slice sqrt square squeeze
    stop_gradient sub tan tanh transpose xor

    bitcast_convert_type random_bits random_fold_in random_split random_unwrap random_wrap
    shift_left shift_right_arithmetic shift_right_logical threefry2x32

    cond custom_jvp_call custom_vjp_call jit pjit scan while
    """.split()
)


@cache
def has_one_kernel() -> bool:
    """Whether `one_kernel` makes one: on a CPU, by an XLA it was tested with."""
    return _HERE and jax.default_backend() == "cpu"


def fits_one_kernel(program: ClosedJaxpr | Jaxpr) -> bool:
    """Whether a program is arithmetic, reductions and slices, with branches and loops of them."""
    inner = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    for equation in inner.eqns:
        if equation.primitive.name not in _KNOWN:
            return False
        for value in equation.params.values():
            several = value if isinstance(value, (tuple, list)) else (value,)
            programs = [x for x in several if isinstance(x, (ClosedJaxpr, Jaxpr))]
            if not all(map(fits_one_kernel, programs)):
                return False
    return True


def apart(function: Function) -> Function:
    """The function with results that are computed once, whatever is computed from them."""

    @wraps(function)
    def call(*args: Any) -> Any:
        if not has_one_kernel() or not _traced(args):
            return function(*args)
        return _call(function, args, _APART)

    return call  # type: ignore[return-value]


def one_kernel(function: Function) -> Function:
    """The function as one kernel on a CPU, if it fits and ends with a loop.

    Inside another one it is a part of that.
    """

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return _joined(function, *args)
        except _MisfitError:
            return function(*args)

    return call  # type: ignore[return-value]


def by_parts(function: Callable[..., Any], *lanes: Any, part: int, into: Any = None) -> Any:
    """`function` of trees of lanes (in the last axis) in one kernel, a part of them at a time.

    What is computed of few enough lanes stays in the first cache. What does not fit one kernel,
    is on another device or is no whole number of parts is computed all at once.

    Args:
        function: trees of any number of lanes → a tree of as many.
        lanes: its arguments.
        part: lanes of a part.
        into: a tree like the result, for it to be written into.
    """
    shape = jnp.shape(jax.tree.leaves(lanes)[0])
    if not has_one_kernel() or not _traced(lanes) or not shape or shape[-1] % part:
        return function(*lanes)
    if into is None:
        shapes = jax.eval_shape(function, *lanes)
        into = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def parts(into: Any, lanes: Any) -> Any:
        def one(i: jax.Array, done: Any) -> Any:
            def cut(x: jax.Array) -> jax.Array:
                return lax.dynamic_slice_in_dim(x, i * part, part, axis=-1)

            def put(x: jax.Array, y: jax.Array) -> jax.Array:
                return lax.dynamic_update_slice_in_dim(x, y, i * part, axis=-1)

            return jax.tree.map(put, done, function(*jax.tree.map(cut, lanes)))

        return lax.fori_loop(0, shape[-1] // part, one, into)

    try:
        return _joined(parts, into, lanes)
    except _MisfitError:
        return function(*lanes)


def _joined(function: Callable[..., Any], *args: Any) -> Any:
    """The value of a function as one kernel.

    Raises:
        _MisfitError: it is none that can be one.
    """
    if _INSIDE.get() or not has_one_kernel() or not _traced(args):
        return function(*args)
    token = _INSIDE.set(True)
    try:
        return _call(function, args, _ONE_KERNEL)
    finally:
        _INSIDE.reset(token)


def _traced(args: Any) -> bool:
    """Whether a program is being made, and not numbers."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args))


class _MisfitError(Exception):
    """A function does not fit one kernel."""


def _ends_with_loops(program: ClosedJaxpr) -> bool:
    """Whether all that is computed comes out of loops.

    Of two cores XLA gives each a part of a costly last operation, if it is no loop, and then
    finds that a kernel has no such parts.
    """
    loops = [x for x in program.jaxpr.eqns if x.primitive.name in ("scan", "while")]
    made = {id(x) for loop in loops for x in loop.outvars}
    return {id(x) for x in program.jaxpr.outvars} <= made | {id(x) for x in program.jaxpr.invars}


def _call(function: Callable[..., Any], args: Any, attributes: dict[str, str]) -> Any:
    """The function's value, by a call with these attributes.

    XLA aborts where such a call has an argument that it does not read. It is handed none that
    `function` ignores and no numbers; nor do results that are arguments go through it.
    """
    leaves, tree = jax.tree.flatten(args)
    traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]
    given = [leaf for leaf, is_traced in zip(leaves, traced, strict=True) if is_traced]

    def of_given(*some: Any) -> Any:
        rest = iter(some)
        every = [next(rest) if t else leaf for leaf, t in zip(leaves, traced, strict=True)]
        return function(*jax.tree.unflatten(tree, every))

    program, shape = jax.make_jaxpr(of_given, return_shape=True)(*given)
    if attributes is _ONE_KERNEL and not (fits_one_kernel(program) and _ends_with_loops(program)):
        raise _MisfitError
    number = {id(variable): i for i, variable in enumerate(program.jaxpr.invars)}
    through = [number.get(id(atom)) for atom in program.jaxpr.outvars]
    needed, read = dce_jaxpr(program.jaxpr, [i is None for i in through])

    def computed(*some: Any) -> Any:
        # Functions called inside are inlined as ever.
        with _metadata(**dict.fromkeys(attributes)):
            return jaxpr_as_fun(ClosedJaxpr(needed, program.consts))(*some)

    some = [x for x, is_read in zip(given, read, strict=True) if is_read]
    if attributes is _ONE_KERNEL:
        # Or constants among them would be put in their place inside.
        some = _barrier(some)
    with _metadata(**attributes):
        fresh = iter(jax.jit(computed)(*some))
    results = [next(fresh) if i is None else given[i] for i in through]
    return jax.tree.unflatten(jax.tree.structure(shape), results)
