"""The reduced engine with its steps in native code, through XLA's FFI; an experiment.

`native.cc` is compiled where a C++ compiler is, and takes the steps between two verdicts as a
stride of the dynamics: starts, verdicts, lanes and refills stay those of the engine. The
package itself is plain JAX: its results do not depend on a compiler on the user's machine.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.recurrence import FLAGS
from jaxcnn.descent.certificate import Rates, Scalars
from jaxcnn.descent.plane import PlaneLaw
from jaxcnn.descent.reduced import ReducedDescent
from jaxcnn.engine.dynamics import Dynamics

TARGET = "benchmarks_native_stride"
UNROLL = 4
"""Registers in flight: 2, 3 and 4 gave 314, 382 and 397 M restart-steps/s on one core."""


def compiler() -> str | None:
    """A C++ compiler that knows vector types, or None."""
    return next(filter(None, map(shutil.which, ("g++", "clang++"))), None)


@cache
def register() -> str:
    """Compile the kernel; the name XLA knows it by."""
    source = Path(__file__).with_name("native.cc")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "native.so"
        command = [compiler(), "-std=c++17", *FLAGS, f"-DUNROLL={UNROLL}"]
        command += ["-isystem", jax.ffi.include_dir(), "-o", library, source]
        subprocess.run(command, check=True)
        handler = ctypes.CDLL(str(library)).native_stride
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(handler), platform="cpu")
    return TARGET


def stride(target: str, rates: Rates, at: Scalars, count) -> Scalars:
    """`count` steps of one run in float32; under `vmap` one call takes all lanes."""
    like = jax.ShapeDtypeStruct(at.angle.shape, at.angle.dtype)
    call = jax.ffi.ffi_call(target, [like] * len(at), vmap_method="broadcast_all")
    return Scalars(*call(*at, *rates, jnp.int32(count)))


class NativeDescent(NamedTuple):
    """`ReducedDescent` for ReLU whose strides are native."""

    law: PlaneLaw
    target: str

    def __call__(self, params) -> Dynamics:
        """`Dynamics` for one cell."""
        plain = ReducedDescent(self.law)(params)
        return plain._replace(stride=lambda at, count: stride(self.target, params.rates, at, count))
