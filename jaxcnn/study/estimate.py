"""The estimate: success probability of one cell by Monte Carlo, with an honest interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from jaxcnn.base.cell import Cell
from jaxcnn.base.checks import confidence_level, whole
from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.html_table import html_table, in_words
from jaxcnn.base.interval import proportion_bounds
from jaxcnn.base.outcome import Outcome
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.pieces import Job
from jaxcnn.engine.run import Account, Progress, run
from jaxcnn.model.dual import Activation
from jaxcnn.model.teacher import SIZES, Teacher
from jaxcnn.study.build import build
from jaxcnn.study.build_rule import MEMORY, Custom
from jaxcnn.study.built import Built, Start


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Success probability of one cell; prints as one line.

    Attributes:
        p_global: GLOBAL over all restarts, undecided and diverged ones included.
        low: lower end of the interval, undecided restarts counted as failures.
        high: upper end, undecided restarts counted as successes.
        confidence: level of the interval (Clopper–Pearson).
        restarts: number of restarts.
        counts: restarts by outcome.
        mean_steps: mean steps of decided restarts, 0 if there are none.
        max_steps: most steps of a decided restart.
        utilisation: useful restart-steps over lane-steps paid.
        problem: the cell in words, with seed, engine, dtype and what the outcomes rest on.
        outcomes: `Outcome` value per restart, uint8 (restarts,).
        steps: steps per restart, uint32 (restarts,).
        seconds: wall time of the runs, compilation included.
    """

    p_global: float
    low: float
    high: float
    confidence: float
    restarts: int
    counts: Counts
    mean_steps: float
    max_steps: int
    utilisation: float
    problem: dict[str, Any]
    outcomes: np.ndarray
    steps: np.ndarray
    seconds: float

    @classmethod
    def of(
        cls,
        outcomes: np.ndarray,
        steps: np.ndarray,
        account: Account,
        confidence: float,
        problem: dict[str, Any],
    ) -> Estimate:
        """Of finished restarts."""
        counts = Counts.of(outcomes)
        interval = proportion_bounds(counts, confidence)
        decided = steps[outcomes != Outcome.UNDECIDED]
        return cls(
            p_global=counts.global_ / counts.restarts,
            low=interval.low,
            high=interval.high,
            confidence=confidence,
            restarts=counts.restarts,
            counts=counts,
            mean_steps=float(decided.mean()) if decided.size else 0.0,
            max_steps=int(decided.max()) if decided.size else 0,
            utilisation=account.utilisation,
            problem=problem,
            outcomes=outcomes,
            steps=steps,
            seconds=account.seconds,
        )

    def __str__(self) -> str:
        shown = ", ".join(f"{n} {name}" for name, n in self.counts.as_dict().items() if n)
        return (
            f"P(global) = {self.p_global:.4f} in [{self.low:.4f}, {self.high:.4f}]"
            f" at {100 * self.confidence:.6g}%"
            f" ({self.restarts} restarts: {shown}; {self.problem['engine']} engine)"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = {name: str(n) for name, n in self.counts.as_dict().items() if n}
        facts = {
            "P(global)": f"{self.p_global:.4f}",
            f"{100 * self.confidence:.6g} % interval": f"{self.low:.4f} to {self.high:.4f}",
            "restarts": str(self.restarts),
            **shown,
            "mean steps": f"{self.mean_steps:.1f}",
            "most steps": str(self.max_steps),
        }
        return html_table(list(facts), [list(facts.values())], in_words(self.problem))

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        return {
            "p_global": self.p_global,
            "low": self.low,
            "high": self.high,
            "confidence": self.confidence,
            "restarts": self.restarts,
            "counts": self.counts.as_dict(),
            "mean_steps": self.mean_steps,
            "max_steps": self.max_steps,
            "utilisation": self.utilisation,
            "problem": self.problem,
        }


def cell_of(teacher: Teacher | Cell, options: dict[str, Any]) -> Cell:
    """The cell of a teacher and options; options override a cell's own fields.

    Raises:
        InputError: an option is unknown or out of range.
    """
    known = set(Cell.__dataclass_fields__)
    for name in options:
        if name not in known:
            raise InputError(
                name, options[name], f"is not a cell option; they are {', '.join(sorted(known))}"
            )
    if isinstance(teacher, Cell):
        return teacher.with_(**options)
    if not isinstance(teacher, Teacher):
        raise InputError("teacher", teacher, "must be a Teacher or a Cell")
    clash = [name for name in SIZES if name in options]
    if clash:
        raise InputError(clash[0], options[clash[0]], "is the teacher's; set it there")
    return Cell(**{name: getattr(teacher, name) for name in SIZES}, **options)


def estimate(
    teacher: Teacher | Cell,
    *,
    restarts: int = 5000,
    seed: int = 0,
    confidence: float = 0.95,
    engine: str = "auto",
    dtype: str | None = None,
    start: Start | None = None,
    first: int = 0,
    settings: LaneSettings | None = None,
    memory: int = MEMORY,
    progress: Progress | None = None,
    **options: Any,
) -> Estimate:
    """Estimate the probability that training reaches the global minimum.

    Args:
        teacher: the teacher, or a whole `Cell`.
        restarts: number of random starts; indices first, …, first + restarts − 1.
        seed: restart i has the same random numbers whatever else is asked. The two engines draw
            different numbers for one seed.
        confidence: level of the interval.
        engine: "reduced" (four scalars), "full" (v and a), or "auto".
        dtype: "float32" or "float64".
        start: fixed, biased or callable starts (`Start`).
        first: first restart index.
        settings: compiled shape.
        memory: budget in bytes for runs that carry data (`samples`).
        progress: called with (finished, all) after each launch.
        **options: any other field of `Cell`, such as `step_size` or `init`. `optimizer` may also
            be an `optax.GradientTransformation` (its updates are added as they are), and
            `activation` an `Activation`.

    Raises:
        InputError: an argument is out of range.
        RefusedError: arguments exclude each other.
    """
    whole("restarts", restarts, 1)
    whole("first", first)
    confidence_level(confidence)
    whole("memory", memory, 1)
    words, custom = custom_of(options)
    cell = cell_of(teacher, words)
    built = build(
        cell,
        engine=engine,
        dtype=dtype,
        teacher=teacher if isinstance(teacher, Teacher) else None,
        start=start,
        settings=settings,
        custom=custom,
        memory=memory,
    )
    job = Job(built.params, first, restarts, cell.max_steps)
    (result,), account = run(
        built.family, [job], seed=seed, settings=built.settings, x64=built.x64, progress=progress
    )
    made = summarise(cell, built, result.outcomes, result.steps, account, confidence, seed)
    if custom.activation is not None:
        made.problem["activation"] = custom.activation.name
    if custom.optimizer is not None:
        del made.problem["step_size"]  # the optax object's own
        made.problem["optimizer"] = "optax object"
    if start is not None and not start.plain:
        made.problem["start"] = start.words()
    return made


def custom_of(options: dict[str, Any]) -> tuple[dict[str, Any], Custom]:
    """Options in words, and the objects among them."""
    words = dict(options)
    optimizer, activation = words.get("optimizer"), words.get("activation")
    if isinstance(optimizer, optax.GradientTransformation):
        del words["optimizer"]
    else:
        optimizer = None
    if isinstance(activation, Activation):
        del words["activation"]
    else:
        activation = None
    return words, Custom(optimizer, activation)


def summarise(
    cell: Cell,
    built: Built,
    outcomes: np.ndarray,
    steps: np.ndarray,
    account: Account,
    confidence: float,
    seed: int,
) -> Estimate:
    """The `Estimate` of a cell's finished restarts."""
    problem = {
        **cell.words(),
        "seed": seed,
        "engine": built.engine,
        "dtype": built.dtype,
        "outcomes": "certified" if built.proved else tolerances(cell),
    }
    return Estimate.of(outcomes, steps, account, confidence, problem)


def tolerances(cell: Cell) -> str:
    """What an outcome rests on where nothing is proved, in words."""
    return f"angle within {cell.angle_tolerance:g}, relative loss within {cell.loss_tolerance:g}"
