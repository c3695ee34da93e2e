"""A cell: one experiment in plain numbers and words, the same on every door.

The fields of `Cell` are the keys of a study file, the options of the command line (with
dashes) and the keyword arguments in Python. Each field carries its own check and help
text, so that the doors cannot drift apart. Nothing here imports JAX: a cell can be read,
checked and compared where no device is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from numbers import Integral
from typing import Any, Literal, get_args

from jaxcnn.base.errors import InputError, RefusedError

Init = Literal["ball", "sphere", "gaussian", "box", "zero"]
FilterInit = Literal["sphere", "gaussian", "shortcut"]
Activation = Literal["relu", "leaky_relu", "step", "erf", "sin", "gelu"]
Optimizer = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "rmsprop",
    "adagrad",
    "adamw",
    "lion",
    "perturbed",
    "flow",
]
Estimator = Literal["identity", "relu"]
Schedule = Literal["constant", "cosine", "exponential"]
DataSet = Literal["per_restart", "shared"]

PERTURBED_FILTER_STEP = 0.2
"""Default step size of v under perturbed descent, at which w turns to w* within an epoch."""

ADAPTIVE = {"adam": 0.01, "adamw": 0.01, "rmsprop": 0.001, "lion": 0.001, "adagrad": 0.1}
"""Default step sizes of rules that divide by the size of the gradient."""

MOMENTUM = {"momentum": 0.9, "nesterov": 0.9, "adam": 0.9, "adamw": 0.9, "lion": 0.9}
"""Rules that take `momentum`, with its default (β₁ of adam, adamw and lion)."""

DECAY = {"rmsprop": 0.9, "adam": 0.999, "adamw": 0.999, "lion": 0.99}
"""Rules that take `decay`, with its default (optax's)."""

EPSILON = {"rmsprop": 1e-8, "adagrad": 1e-7, "adam": 1e-8, "adamw": 1e-8}
"""Rules that take `epsilon`, with its default (optax's)."""


def option(
    help: str,
    default: Any = MISSING,
    *,
    choices: Any = None,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> Any:
    """Declare a cell field: its help text, default and allowed range.

    Args:
        help: one line for `--help`.
        default: the default; a field without one is required.
        choices: a `Literal` whose members are the allowed words.
        low: smallest allowed value.
        above: value it must exceed.
        high: largest allowed value.
        below: value it must stay under.
    """
    words = get_args(choices) if choices is not None else None
    rule = {
        "help": help,
        "choices": words,
        "low": low,
        "above": above,
        "high": high,
        "below": below,
    }
    return field(default=default, metadata=rule) if default is not MISSING else field(metadata=rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One experiment: teacher, start law, dynamics and what counts as an outcome.

    Symbols are those of Du et al. (ICML 2018): k patches of size p, teacher (w*, a*) with
    `ratio` ρ = (1ᵀa*)²/‖a*‖² and `teacher_norm` ‖w*‖‖a*‖, student start (v₀, a₀).
    Raises `InputError` naming the field, its value and the remedy.
    """

    # The teacher.
    k: int = option("number of patches", low=1, high=2**53)
    ratio: float = option("(1'a*)^2 / |a*|^2, between 0 and k", low=0.0)
    p: int = option("patch size", 6, low=2)
    teacher_norm: float = option("|w*| |a*|", 1.0, above=0.0)
    activation: str = option("activation of student and teacher", "relu", choices=Activation)
    slope: float = option("slope of leaky_relu left of zero", 0.01, above=-1.0, below=1.0)

    # The start.
    init: str = option("start law of a", "ball", choices=Init)
    init_scale: float = option(
        "times |1'a*|/sqrt(k) (ball, sphere), standard deviation (gaussian), half-width (box)",
        1.0,
        low=0.0,
    )
    filter_init: str = option("start law of v", "sphere", choices=FilterInit)

    # The dynamics.
    step_size: float | None = option(
        "step size eta; default pi/(k+pi-1), that is b = 1/2 (adaptive rules: 0.001 to 0.1)",
        None,
        above=0.0,
    )
    filter_step_size: float | None = option(
        "step size for v, if not that of a (perturbed: 0.2)", None, above=0.0
    )
    optimizer: str = option("update rule", "sgd", choices=Optimizer)
    momentum: float | None = option(
        "momentum, or beta1 of adam (optimizer's own default)", None, low=0.0, below=1.0
    )
    decay: float | None = option(
        "decay of squares, beta2 of adam (optimizer's own default)", None, low=0.0, below=1.0
    )
    epsilon: float | None = option(
        "adam, rmsprop, adagrad: the epsilon (optimizer's own default)", None, above=0.0
    )
    schedule: str = option("step-size schedule", "constant", choices=Schedule)
    schedule_steps: int | None = option(
        "steps of the schedule: to 0 (cosine), to a tenth (exponential)", None, low=1
    )
    max_steps: int = option("step limit of a run", 1_000_000, low=1, high=2**31 - 1)

    # Finite samples.
    samples: int | None = option("number of inputs n (default: the population loss)", None, low=1)
    data: str = option("one data set per restart, or one shared", "per_restart", choices=DataSet)
    data_seed: int = option("which shared data set", 0, low=0, high=2**31 - 1)
    batch: int | None = option("mini-batch size (default: full batch)", None, low=1)
    label_noise: float = option("standard deviation of the noise on labels", 0.0, low=0.0)

    # Perturbed descent with noise annealing (optimizer = "perturbed").
    noise_filter: float = option("radius of the ball of perturbations of w", 80.0, low=0.0)
    noise_output: float = option("radius of the ball of perturbations of a", 1.0, low=0.0)
    noise_factor: float = option("factor on both radii after each epoch", 0.5, low=0.0, below=1.0)
    noise_epoch: int = option("steps in a noise epoch", 2000, low=1)
    noise_epochs: int = option("noisy epochs before the noise is off", 6, low=0)

    # Shortcut and straight-through estimators.
    teacher_angle: float | None = option(
        "shortcut: angle of w* to 1/sqrt(p), radians", None, low=0.0, high=math.pi
    )
    warmup_steps: int = option(
        "shortcut: steps over which v's step size rises to its value", 0, low=0
    )
    estimator: str | None = option(
        "step activation: straight-through estimator", None, choices=Estimator
    )

    # What counts as an outcome where nothing is proved.
    angle_tolerance: float = option(
        "angle within which a run has arrived, radians", 0.05, above=0.0
    )
    loss_tolerance: float = option(
        "loss, relative to |a*|^2/2, within which a run has arrived", 1e-3, above=0.0
    )

    def __post_init__(self) -> None:
        given = set()
        for f, default, value in zip(_FIELDS, _DEFAULTS, field_values(self), strict=True):
            if value is not default:  # defaults are right, and most fields have theirs
                value = _checked(f, value)
                object.__setattr__(self, f.name, value)
                if value != default:
                    given.add(f.name)
        if self.ratio > self.k:
            raise InputError(
                "ratio", self.ratio, f"must be at most k = {self.k}, by Cauchy-Schwarz"
            )
        if self.step_size is None:
            object.__setattr__(self, "step_size", default_step_size(self.k, self.optimizer))
        if self.filter_step_size is None and self.optimizer == "perturbed":
            object.__setattr__(self, "filter_step_size", PERTURBED_FILTER_STEP)
        if self.batch is not None and self.samples is not None and self.batch > self.samples:
            raise RefusedError("batch", self.batch, f"must be at most samples = {self.samples}")
        for names, holds, need in self._company() if not _ALONE >= given else ():
            for name in names if not holds else ():
                if name in given:
                    raise RefusedError(name, getattr(self, name), need)

    def _company(self) -> tuple[tuple[tuple[str, ...], bool, str], ...]:
        """(fields, whether they have an effect here, what they need to have one)."""
        rule = self.optimizer
        sampled, shortcut = self.samples is not None, self.filter_init == "shortcut"
        data = ("batch", "data", "label_noise")
        smooth = self.activation != "step"
        return (
            (("slope",), self.activation == "leaky_relu", 'needs activation = "leaky_relu"'),
            (("init_scale",), self.init != "zero", 'has no effect with init = "zero"'),
            (("momentum",), rule in MOMENTUM, _NEEDS_MOMENTUM),
            (("decay",), rule in DECAY, _NEEDS_DECAY),
            (("epsilon",), rule in EPSILON, _NEEDS_EPSILON),
            (("schedule",), rule != "flow", "has no effect on the gradient flow"),
            (("schedule",), self.schedule_steps is not None, "needs schedule_steps"),
            (("schedule_steps",), self.schedule != "constant", "needs schedule"),
            (data, sampled, "needs samples: the population loss has no data"),
            (("data_seed",), self.data == "shared", 'needs data = "shared"'),
            (("samples",), rule != "flow", "is not supported with the gradient flow"),
            (("samples",), smooth or self.estimator is not None,
             "needs an estimator: the step has derivative 0"),
            (_NOISE, rule == "perturbed", 'needs optimizer = "perturbed"'),
            (("filter_init",), self.teacher_angle is not None or not shortcut,
             "needs teacher_angle, the angle of w* to 1/sqrt(p)"),
            (("warmup_steps",), shortcut, 'needs filter_init = "shortcut"'),
            (("warmup_steps",), rule != "flow", "has no effect on the gradient flow"),
            (("filter_init",), not (shortcut and rule in ("adamw", "lion")),
             "has no meaning with weight decay: it would act on 1/sqrt(p) + v"),
            (("estimator",), not smooth, 'needs activation = "step"'),
            (("estimator",), rule not in ("flow", "perturbed"),
             f"is not supported with optimizer = {rule!r}"),
        )  # fmt: skip

    def words(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and always k, ratio and step_size.

        This is the identity of a cell in result files: a field added later with a default
        leaves the identity of old cells as it was.
        """
        always = {"k", "ratio", "step_size"}
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name in always or getattr(self, f.name) != f.default
        }

    def with_(self, **changes: Any) -> Cell:
        """The same cell with some fields changed, checked again."""
        return replace(self, **changes)


def with_free(like: tuple[Any, ...], names: Sequence[str], numbers: Sequence[Any]) -> Cell:
    """A cell like another but for its `FREE` numbers, without checks.

    In a third of the time of `Cell`: for grids, whose values have been checked one by one.

    Args:
        like: `field_values` of the other.
        names: of the numbers; `step_size` must be among them if k is.
        numbers: as `Cell` keeps them, ratio ≤ k; None for the default of `step_size`.
    """
    new = object.__new__(Cell)
    for put, value in zip(_SETTERS.values(), like, strict=True):
        put(new, value)
    for name, value in zip(names, numbers, strict=True):
        _SETTERS[name](new, value)
    if new.step_size is None:
        _SETTERS["step_size"](new, default_step_size(new.k, new.optimizer))
    return new


def default_step_size(k: int, optimizer: str = "sgd") -> float:
    """π/(k+π−1): the step size at which b = η(k+π−1)/2π is ½, half of the proved range.

    Rules that divide by the size of the gradient have defaults of their own (`ADAPTIVE`): their
    steps are about as long in every coordinate, however near the minimum is.
    """
    return ADAPTIVE.get(optimizer, math.pi / (k + math.pi - 1))


def _either(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"


_FIELDS = fields(Cell)
_DEFAULTS = tuple(f.default for f in _FIELDS)
_NAMES = tuple(f.name for f in _FIELDS)
field_values = operator.attrgetter(*_NAMES)
_SETTERS = {name: Cell.__dict__[name].__set__ for name in _NAMES}  # past the frozen __setattr__
_ALONE = {"k", "ratio", "p", "teacher_norm", "activation", "init", "step_size", "max_steps"}
"""Fields that never need the company of others."""

FREE = ("k", "ratio", "p", "teacher_norm", "step_size", "max_steps")
"""Numbers that go with whatever the other fields are, but for ratio ≤ k."""

_NOISE = tuple(f.name for f in _FIELDS if f.name.startswith("noise_"))
_NEEDS_MOMENTUM, _NEEDS_DECAY, _NEEDS_EPSILON = (
    f"needs optimizer = {_either(list(rules))}" for rules in (MOMENTUM, DECAY, EPSILON)
)


def cell_options() -> tuple[Field[Any], ...]:
    """The declared fields of `Cell`, in order, with `metadata["help"]` and ranges."""
    return _FIELDS


_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("low", operator.ge, "at least"),
    ("above", operator.gt, "greater than"),
    ("high", operator.le, "at most"),
    ("below", operator.lt, "less than"),
)
_RULES = {
    f.name: (
        str(f.type).split()[0],
        "None" in str(f.type),
        tuple(
            (holds, f.metadata[name], phrase)
            for name, holds, phrase in _BOUNDS
            if f.metadata[name] is not None
        ),
    )
    for f in _FIELDS
}
"""By field: its kind, whether it may be None, and its bounds."""


def _checked(f: Field[Any], value: Any) -> Any:
    """The value in the field's own type, or an `InputError`."""
    kind, optional, bounds = _RULES[f.name]
    if value is None and optional:
        return None
    if kind == "str":
        choices = f.metadata["choices"]
        if value not in choices:
            raise InputError(f.name, value, f"must be one of {', '.join(choices)}")
        return str(value)
    if isinstance(value, bool) or (
        not isinstance(value, (int, float)) and not hasattr(value, "__float__")
    ):
        raise InputError(f.name, value, "must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise InputError(f.name, value, "must be a number") from None
    if not math.isfinite(number):
        raise InputError(f.name, value, "must be finite")
    if kind == "int":
        if not isinstance(value, Integral) and number != int(value):
            raise InputError(f.name, value, "must be a whole number")
        number = int(value)
    for holds, bound, phrase in bounds:
        if not holds(number, bound):
            raise InputError(f.name, value, f"must be {phrase} {bound:g}")
    return number + 0  # -0.0 is 0.0, and written the same
