"""Any optax optimizer on the full state, whatever its gradient comes from.

    (v, a)⁺ = (v − η_v(t) d_v,  a − η_a(t) d_a),    d = the rule's direction for the gradient

A rule's direction is optax's own `scale_by_…` transformation; the step sizes and the rule's
numbers are data, so one compilation serves all of them. The gradient is a *source* (below and
in sampled.py, perturbed.py, straight_through.py): the population's closed form, a sample's, a
perturbed one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxcnn.base.outcome import Outcome
from jaxcnn.descent import arrival
from jaxcnn.descent.arrival import Goal, Track
from jaxcnn.descent.certificate import Rates, certificate
from jaxcnn.descent.full import scalars
from jaxcnn.descent.kernel import DescentKernel
from jaxcnn.descent.start import FullLaw, FullStart
from jaxcnn.engine.dynamics import Dynamics
from jaxcnn.model.angle import between
from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Student, Target, gradient, loss

WEIGHT_DECAY = {"adamw": 1e-4, "lion": 1e-3}
"""optax's defaults; they move the minimum by about as much, relative to ‖a*‖."""


class Hyper(NamedTuple):
    """The numbers of a rule; scalars, one set per cell.

    Attributes:
        step_size: η of a.
        filter_step_size: η of v.
        momentum: of momentum and nesterov; β₁.
        decay: of squares; β₂.
        epsilon: added to roots.
        schedule_steps: steps of the schedule.
        warmup_steps: steps over which η of v rises linearly to its value; 0 for none.
    """

    step_size: jax.Array
    filter_step_size: jax.Array
    momentum: jax.Array
    decay: jax.Array
    epsilon: jax.Array
    schedule_steps: jax.Array
    warmup_steps: jax.Array


class RuleParams(NamedTuple):
    """Parameters of one cell.

    Attributes:
        target: the teacher's arrays.
        start: numbers of the start law.
        hyper: numbers of the rule.
        goal: what counts as having arrived.
        rates: what certificates see.
        source: numbers of the gradient's source.
    """

    target: Target
    start: FullStart
    hyper: Hyper
    goal: Goal
    rates: Rates
    source: Any


class RuleState(NamedTuple):
    """One run.

    Attributes:
        student: (v, a).
        memory: the optimizer's own state.
        carried: what the gradient's source carries (keys, data).
        track: steps so far, and whether the run still moves.
    """

    student: Student
    memory: Any
    carried: Any
    track: Track


class Source(Protocol):
    """Where the gradient comes from; hashable, since it is part of what is compiled."""

    def prepare(self, key: jax.Array, params: RuleParams) -> Any:
        """What a run carries for its gradients. Consumes the key."""

    def gradient(
        self, params: RuleParams, carried: Any, student: Student, count: jax.Array
    ) -> Student:
        """The gradient at a point, at step `count`."""


class Population(NamedTuple):
    """The gradient of the population loss, in closed form."""

    activation: Activation

    def prepare(self, key: jax.Array, params: RuleParams) -> tuple[()]:
        """Nothing: the population has no noise."""
        return ()

    def gradient(
        self, params: RuleParams, carried: Any, student: Student, count: jax.Array
    ) -> Student:
        """∂ℓ/∂(v, a) of model/population.py."""
        return gradient(student, params.target, self.activation)


def transformation(name: str, hyper: Hyper) -> optax.GradientTransformation:
    """The rule's direction: `optax.<name>` without its step size."""
    b1, b2, eps = hyper.momentum, hyper.decay, hyper.epsilon
    if name == "sgd":
        return optax.identity()
    if name in ("momentum", "nesterov"):
        return optax.trace(b1, nesterov=name == "nesterov")
    if name == "rmsprop":
        return optax.scale_by_rms(b2, eps)
    if name == "adagrad":
        return optax.scale_by_rss(initial_accumulator_value=0.1, eps=eps)
    if name == "lion":
        head = optax.scale_by_lion(b1, b2)
    elif name in ("adam", "adamw"):
        head = optax.scale_by_adam(b1, b2, eps)
    else:
        raise ValueError(f"optimizer {name!r}: has no transformation")
    if name in WEIGHT_DECAY:
        return optax.chain(head, optax.add_decayed_weights(WEIGHT_DECAY[name]))
    return head


def schedule_factor(kind: str, hyper: Hyper, count: jax.Array) -> jax.Array:
    """The schedule at step t < T = `schedule_steps`, as a factor on both step sizes.

    cosine: (1 + cos(π t/T))/2, then 0. exponential: 10^(−t/T), a tenth every T steps.
    """
    part = count.astype(hyper.schedule_steps.dtype) / hyper.schedule_steps
    if kind == "cosine":
        return (1 + jnp.cos(jnp.pi * jnp.minimum(part, 1))) / 2
    if kind == "exponential":
        return 10.0 ** (-part)
    if kind == "constant":
        return jnp.ones_like(part)
    raise ValueError(f"schedule {kind!r}: has no factor")


def warmup_factor(warmup_steps: jax.Array, count: jax.Array) -> jax.Array:
    """min(1, (t + 1)/T): the factor on the filter's step size; 1 if T = 0."""
    steps = jnp.maximum(warmup_steps, 1)
    return jnp.minimum((count + 1).astype(steps.dtype) / steps, 1)


class RuleDescent(NamedTuple):
    """Family of descents with any rule and any source of gradients.

    Attributes:
        law: start law.
        activation: σ, whose population loss the verdict looks at.
        source: where the gradient comes from.
        rule: a name, or a transformation whose updates are added as they are.
        schedule: word for the schedule of both step sizes.
        projected: put v back on the unit sphere after each step while `goal.quiet` lasts.
        kernel: if given, outcomes are certified by it once `goal.quiet` is over. Only for plain
            descent on the population loss.
    """

    law: FullLaw
    activation: Activation
    source: Source
    rule: Any = "sgd"
    schedule: str = "constant"
    projected: bool = False
    kernel: DescentKernel | None = None

    def __call__(self, params: RuleParams) -> Dynamics:
        """`Dynamics` for one cell."""
        named = isinstance(self.rule, str)
        rule: optax.GradientTransformation = self.rule
        if isinstance(self.rule, str):
            rule = transformation(self.rule, params.hyper)

        def start(key: jax.Array) -> RuleState:
            student = self.law.draw(key, params.start, params.target)
            carried = self.source.prepare(jax.random.fold_in(key, 3), params)
            return RuleState(student, rule.init(student), carried, arrival.begin(student.a.dtype))

        def move(state: RuleState, slope: Student) -> RuleState:
            count = state.track.age
            updates, memory = rule.update(slope, state.memory, state.student)
            if named:
                updates = self._sized(params.hyper, updates, count)
            v = state.student.v + updates.v
            if self.projected:
                v = jnp.where(count < params.goal.quiet, v / jnp.linalg.norm(v), v)
            student = Student(v, state.student.a + updates.a)
            track = self._follow(params, state.track, student)
            return RuleState(student, memory, state.carried, track)

        def step(state: RuleState) -> RuleState:
            many = state.track.age.ndim > 0
            slope = self.source.gradient(params, state.carried, state.student, state.track.age)
            moved: RuleState = (jax.vmap(move, -1, -1) if many else move)(state, slope)
            return moved

        def verdict(state: RuleState) -> jax.Array:
            def one(state: RuleState) -> jax.Array:
                return self._verdict(params, state)

            code: jax.Array = (jax.vmap(one, -1, -1) if state.track.age.ndim else one)(state)
            return code

        # A source that takes many students at once is given them as the engine holds them.
        return Dynamics(start, step, verdict, lanes_last=getattr(self.source, "together", False))

    def _sized(self, hyper: Hyper, direction: Student, count: jax.Array) -> Student:
        factor = schedule_factor(self.schedule, hyper, count)
        rise = factor * warmup_factor(hyper.warmup_steps, count)
        return Student(
            v=-hyper.filter_step_size * rise * direction.v,
            a=-hyper.step_size * factor * direction.a,
        )

    def _follow(self, params: RuleParams, track: Track, student: Student) -> Track:
        if self.kernel is not None:
            return track._replace(age=track.age + 1)
        value = loss(student, params.target, self.activation)
        angle = between(student.v, params.target.w_star).angle
        return arrival.follow(params.goal, track, angle, value, self.activation.odd)

    def _verdict(self, params: RuleParams, state: RuleState) -> jax.Array:
        if self.kernel is None:
            return arrival.verdict(state.track)
        at = scalars(state.student, params.target)
        code = certificate(self.kernel, params.rates, at)
        ready = (state.track.age >= params.goal.quiet) | (code == Outcome.DIVERGED)
        return jnp.where(ready, code, jnp.int32(Outcome.RUNNING))
