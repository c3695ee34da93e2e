"""The hand-vectorised C kernel of the four-scalar recurrence, compiled where a compiler is.

`recurrence.c` in GCC's vector types: 8 (AVX2) or 16 (AVX-512) lanes a register, 1 to 4
registers in flight, whichever is fastest here; one thread a core.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxcnn.base.cores import cpu_count

FORMS = ("angle_form", "rotation_form")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC")
UNROLLS = (2, 3, 4)
LANES = 64 * 3 * 16
"""Lanes a thread: a multiple of every block, and small enough for the first cache."""


def compiler() -> str | None:
    """A C compiler that knows vector types, or None."""
    return next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)


def compiled(unroll: int) -> ctypes.CDLL:
    """The kernel with `unroll` registers in flight."""
    source = Path(__file__).with_name("recurrence.c")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "recurrence.so"
        command = [compiler(), *FLAGS, f"-DUNROLL={unroll}", "-o", target, source, "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(target))


def aligned(rows: np.ndarray) -> np.ndarray:
    """A copy at a multiple of 64 bytes."""
    room = np.empty(rows.size + 16, np.float32)
    skip = -room.ctypes.data // 4 % 16
    copy = room[skip : skip + rows.size].reshape(rows.shape)
    copy[:] = rows
    return copy


def advance(library, form, states, steps, rates):
    """Step every state (4, lanes) in place, one thread each."""
    numbers = [ctypes.c_float(x) for x in rates]

    def work(state):
        call = getattr(library, form)
        call(
            ctypes.c_void_p(state.ctypes.data),
            ctypes.c_size_t(state.shape[1]),
            ctypes.c_long(steps),
            *numbers,
        )

    with ThreadPoolExecutor(len(states)) as pool:
        list(pool.map(work, states))


def rates_of_c(libraries, state: np.ndarray, rates, steps: int = 20_000) -> dict[str, float]:
    """Restart-steps per second of each form on every core, at the best unroll.

    Args:
        libraries: `compiled` kernels.
        state: (φ, s, M, r²) of starts, (4, `LANES`), which every core takes.
        rates: (c, c_filter, b, A, U²).
        steps: taken by every lane.
    """
    cores = cpu_count()
    rate = dict.fromkeys(FORMS, 0.0)
    for library in libraries:
        for form in FORMS:
            states = [aligned(state) for _ in range(cores)]
            began = time.perf_counter()
            advance(library, form, states, steps, rates)
            seconds = time.perf_counter() - began
            rate[form] = max(rate[form], cores * state.shape[1] * steps / seconds)
    return rate
