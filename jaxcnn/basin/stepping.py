"""Many runs of one problem side by side in float64, on the CPU, on every core.

What a step is and what is read off at its end is in basin/motion.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.cores import cpu_count
from jaxcnn.basin.motion import Numbers, advance, edge, flow_time
from jaxcnn.basin.problem import Array, Problem, Rule
from jaxcnn.descent.certificate import Rates
from jaxcnn.descent.kernel import DescentKernel

THREAD_WORTH = 1_000_000
"""Restart-steps that pay for a thread: ten milliseconds of work."""
DECAY = 36.0
"""What is left of the decaying modes, squared, after `Stepper.settle` steps is e^(−36)."""
LANES = 128
"""Compiled width: a state that stays in the first cache, small orders in one or two chunks."""


class Standing(NamedTuple):
    """Where lanes stand after their steps.

    Attributes:
        state: (φ, s, M, r²), shape (4, …).
        early: w after the first part of the steps.
        late: w after all of them.
        label: `Outcome` proved by then, or by the side of the edge state on which the lane
            moves away from it; UNDECIDED where neither says.
        proved: whether the label is proved.
    """

    state: Array
    early: Array
    late: Array
    label: NDArray[np.int32]
    proved: NDArray[np.bool_]


class StoppedError(Exception):
    """The answer is no longer wanted."""


@contextmanager
def float64() -> Iterator[None]:
    """64-bit types on the CPU, for this thread and block only.

    A scalar recurrence in float64 over some hundred lanes is no work for an accelerator.
    """
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        device = jax.local_devices()[0]
    with jax.enable_x64(True), jax.default_device(device):
        yield


_COMPILED: dict[tuple[DescentKernel, str], Callable[..., Any]] = {}
_COMPILING = threading.Lock()


def _program(kernel: DescentKernel, name: str) -> Callable[..., Any]:
    """The compiled `descent`, `flow` or `edge`: once per process, whatever the numbers."""
    key = (kernel, name)
    with _COMPILING, float64():
        if key not in _COMPILED:
            zero, count = np.float64(0.0), np.int32(0)
            if name == "edge":
                lowered = jax.jit(lambda drop: edge(kernel, drop)).lower(zero)
            else:
                rule: Rule = "flow" if name == "flow" else "descent"
                at = Numbers(_rates(*[0.0] * 5), zero, zero, zero, zero)
                state = np.zeros((4, LANES))

                def apply(at: Numbers, state: jax.Array, early: Any, late: Any) -> Any:
                    return advance(kernel, rule, at, state, early, late)

                lowered = jax.jit(apply).lower(at, state, count, count)
            _COMPILED[key] = lowered.compile()
    return _COMPILED[key]


class Stepper:
    """Runs of one problem below its critical ratio, by its rule.

    Attributes:
        problem: the problem.
        edge_angle: φ_c.
        edge_pull: q = h sin φ_c.
        edge_m: M_c.
        edge_error: error of φ_c by rounding of g, large where q is small: near the critical ratio.
        edge_rate: λ at ‖v‖ = ‖v₀‖, in units of c.
        settle: steps after which the square of what decays, against what grows, is e^(−`DECAY`).
        growth: factor from one look at a trial to the next, longer one, such that the
            threshold of the first lies where w is still smooth at the second.
        lane_steps: restart-steps taken so far.
    """

    def __init__(
        self, problem: Problem, threads: int = 0, stop: threading.Event | None = None
    ) -> None:
        """Set up the runs of a problem.

        Args:
            problem: the problem.
            threads: at most so many; by default one for each core, up to 8.
            stop: once it is set, `run` raises `StoppedError`.
        """
        self.problem, rule = problem, problem.rule
        kernel = problem.kernel
        with float64():
            angle, pull = _program(kernel, "edge")(np.float64(problem.edge_drop))
        self.edge_angle, self.edge_pull = float(angle), float(pull)
        self.edge_m = problem.total**2 * problem.edge_drop / problem.drain
        unit = problem.c if rule == "descent" else 1.0
        step = min(0.05, 0.3 / problem.drain)  # the modes of a, of rates V + k m and less
        self.edge_rate, shrink = self._modes()
        grow = max(self.edge_rate, 1e-12)
        self.growth = 1.0 + min(1.0, shrink / grow)
        self.lane_steps = 0
        rates = _rates(
            unit,
            unit * problem.c_filter / problem.c,
            unit * problem.drain,
            problem.power,
            problem.total**2,
        )
        one = np.float64(1.0)
        numbers = Numbers(rates, one * self.edge_angle, one * self.edge_m, one * step, one)
        self.edge_error = 4.0 * np.finfo(np.float64).eps * kernel.top / self.edge_pull
        time = problem.c
        if rule == "flow":
            time = float(flow_time(kernel, numbers, 0.0, 0.0, problem.norm2))
        # Far from the edge state s decays like e^(−Vt), however fast that attracts.
        shrunk = min(shrink, 2.0 * problem.decay)
        self.settle = max(64, int(np.ceil(DECAY / (time * (2.0 * shrunk + grow)))))
        # On the device once: eight transfers would cost as much as a hundred steps.
        with float64():
            self._numbers = jax.device_put(numbers)
        self._workers = threads or min(cpu_count(), 8)
        self._stop = stop or threading.Event()

    def of(self, problem: Problem) -> Stepper:
        """Runs of another problem with the same threads and stop."""
        return Stepper(problem, self._workers, self._stop)

    def _modes(self) -> tuple[float, float]:
        """λ and the slowest decay at the edge state, in units of c; for ‖v‖ = ‖v₀‖."""
        at = self.problem
        q = self.edge_pull
        pull = at.c_filter / at.c * q / at.norm2
        # Rows and columns φ, s, M of the linear part.
        matrix = np.array(
            [
                [0.0, -pull, 0.0],
                [-q * at.power, -at.decay, at.kernel.mean],
                [q * at.total**2, 0.0, -at.drain],
            ]
        )
        modes = np.sort(np.linalg.eigvals(matrix).real)
        return float(modes[2]), -float(modes[1])

    def run(self, state: Array, early: int, late: int, part: float = 1.0) -> Standing:
        """Step lanes of any shape.

        Args:
            state: (φ, s, M, r²), shape (4, …).
            early: steps before the first look.
            late: steps after it.
            part: of each step of the flow, the part that is taken.

        Raises:
            StoppedError: nobody waits for the answer any more.
        """
        if self._stop.is_set():
            raise StoppedError
        shape = state.shape[1:]
        flat = state.reshape(4, -1)
        count = flat.shape[1]
        chunks = [_padded(flat[:, i : i + LANES]) for i in range(0, count, LANES)]

        program = _program(self.problem.kernel, self.problem.rule)
        numbers = self._numbers if part == 1.0 else self._numbers._replace(part=np.float64(part))

        def work(some: list[Array]) -> list[list[NDArray[Any]]]:
            with float64():
                steps = np.int32(early), np.int32(late)
                return [[np.asarray(x) for x in program(numbers, one, *steps)] for one in some]

        workers = min(self._workers, len(chunks), count * (early + late) // THREAD_WORTH)
        if workers < 2:
            done = work(chunks)
        else:
            shares = [
                chunks[len(chunks) * i // workers : len(chunks) * (i + 1) // workers]
                for i in range(workers)
            ]
            with ThreadPoolExecutor(workers) as pool:
                done = [out for part in pool.map(work, shares) for out in part]
        self.lane_steps += count * (early + late)
        joined = [np.concatenate(parts, axis=-1)[..., :count] for parts in zip(*done, strict=True)]
        end, *rest = joined
        return Standing(end.reshape(4, *shape), *(part.reshape(shape) for part in rest))


def _rates(*values: float) -> Rates:
    return Rates(*(np.float64(value) for value in values))  # type: ignore[arg-type]


def _padded(chunk: Array) -> Array:
    short = LANES - chunk.shape[1]
    return (
        np.pad(chunk, ((0, 0), (0, short)), mode="edge") if short else np.ascontiguousarray(chunk)
    )
