r"""The loss on n inputs instead of the population: ½ mean square error, noise on the labels.

    ℓ_n = 1/2n Σ_i e_i²,  e_i = f(Z_i; v, a) − y_i,  y_i = f*(Z_i) + τ ε_i
    ∂ℓ_n/∂v = (I − wwᵀ) ∂ℓ_n/∂w / ‖v‖,    ∂ℓ_n/∂(w, a) in sample_gradient.py

Input i of a data set is a function of the set's key and i, so a set can be kept or drawn
again: *stored* when it fits the memory at hand, else regenerated chunk by chunk at every step,
with the same numbers. A mini-batch is m inputs drawn afresh each step, uniformly and with
replacement, so that its gradient is unbiased for ∂ℓ_n.

Outcomes look at the *population* loss and the angle to the teacher's filter: success is having
learned the teacher, not having fitted the sample. The minimiser of ℓ_n is about
√((k+p)/n) (1 + τ/‖a*‖) away from it, which tolerances must allow for; a run that settles
outside them is OTHER.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.descent.optimizer import RuleParams
from jaxcnn.descent.sample_gradient import (
    Data,
    own_gradient,
    shared_gradient,
    summed_gradient,
    through_norm,
)
from jaxcnn.model.dual import Activation
from jaxcnn.model.population import Student, Target
from jaxcnn.model.sample import labels


class SampleNumbers(NamedTuple):
    """Numbers of a sampled loss.

    Attributes:
        label_noise: τ.
        key: key data of the shared data set, uint32 (2,).
        shared: the shared data set if it is stored, else None.
    """

    label_noise: jax.Array
    key: jax.Array
    shared: Data | None


class SampleCarried(NamedTuple):
    """What a run carries.

    Attributes:
        data_key: of its data set.
        batch_key: of its mini-batches.
        bits: its data set if stored, (n, k p + 1): the floats' bits, unsigned.
    """

    data_key: jax.Array
    batch_key: jax.Array
    bits: jax.Array | None


def one_input(
    key: jax.Array, number: jax.Array, target: Target, noise: jax.Array, activation: Activation
) -> Data:
    """Input `number` of the data set with this key, and its label."""
    own = jax.random.fold_in(key, number)
    shape = (target.a_star.shape[0], target.w_star.shape[0])
    inputs = jax.random.normal(own, shape, target.w_star.dtype)
    error = jax.random.normal(jax.random.fold_in(own, 1), (), inputs.dtype)
    return Data(inputs, labels(inputs, target, activation) + noise * error)


def some_inputs(
    key: jax.Array, numbers: jax.Array, target: Target, noise: jax.Array, activation: Activation
) -> Data:
    """Several inputs of one data set, `numbers` an int array (m,)."""
    return jax.vmap(lambda i: one_input(key, i, target, noise, activation))(numbers)


class Sampled(NamedTuple):
    """Gradients of a sampled loss.

    Attributes:
        activation: σ.
        samples: n.
        batch: m, or None for all n.
        shared: one data set for all restarts.
        stored: keep the data set; else draw it again at each step.
        chunk: most inputs looked at together.
        estimator: straight-through estimator, for the step.
    """

    activation: Activation
    samples: int
    batch: int | None = None
    shared: bool = False
    stored: bool = True
    chunk: int = 1024
    estimator: str | None = None

    @property
    def together(self) -> bool:
        """Whether `gradient` takes many students too, in the last axis."""
        return self.batch is None and (self.shared or self.stored)

    def prepare(self, key: jax.Array, params: RuleParams) -> SampleCarried:
        """The run's keys, and its own data set if that is stored. Consumes the key."""
        data_key = jax.random.fold_in(key, 0)
        bits = None
        if self.stored and not self.shared:
            data = self._draw(params, data_key, jnp.arange(self.samples))
            rows = data.inputs.reshape(self.samples, -1)
            rows = jnp.concatenate([rows, data.answers[:, None]], axis=1)
            # As unsigned integers, data share a matrix of the engine's packing with the keys
            # alone, so that a step need not copy them along with numbers that change.
            kind = jnp.uint64 if rows.dtype == jnp.float64 else jnp.uint32
            bits = lax.bitcast_convert_type(rows, kind)
        return SampleCarried(data_key, jax.random.fold_in(key, 1), bits)

    def gradient(
        self, params: RuleParams, carried: SampleCarried, student: Student, count: jax.Array
    ) -> Student:
        """∂ℓ_n, or its mini-batch estimate at step `count`."""
        total = self.batch or self.samples
        if self.batch is not None:
            now = jax.random.fold_in(carried.batch_key, count)
            chosen = jax.random.randint(now, (self.batch,), 0, self.samples)
            slope = self._some(params, carried, student, chosen, jnp.ones(self.batch))
        elif carried.bits is not None and student.a.ndim > 1:
            slope = own_gradient(student, carried.bits, self.activation, self.estimator)
        elif self.stored and not self.shared:
            data = self._kept(params, carried, student.a.dtype)
            slope = self._sum(student, data, jnp.ones(self.samples))
        else:
            slope = self._chunks(params, carried, student)
        slope = jax.tree.map(lambda x: x / total, slope)
        # Straight-through estimators move v along their coarse gradient as it is.
        return slope if self.estimator is not None else through_norm(student, slope)

    def _draw(self, params: RuleParams, key: jax.Array, numbers: jax.Array) -> Data:
        noise = params.source.label_noise
        return some_inputs(key, numbers, params.target, noise, self.activation)

    def _kept(self, params: RuleParams, carried: SampleCarried, dtype: jnp.dtype) -> Data:
        if carried.bits is None:
            kept: Data = params.source.shared
            return kept
        rows = lax.bitcast_convert_type(carried.bits, dtype)
        k, p = params.target.a_star.shape[0], params.target.w_star.shape[0]
        return Data(rows[:, :-1].reshape(self.samples, k, p), rows[:, -1])

    def _sum(self, student: Student, data: Data, weight: jax.Array) -> Student:
        summed = shared_gradient if self.shared else summed_gradient
        weight = weight.astype(student.a.dtype)
        return summed(student, data, weight, self.activation, self.estimator)

    def _some(
        self,
        params: RuleParams,
        carried: SampleCarried,
        student: Student,
        numbers: jax.Array,
        weight: jax.Array,
    ) -> Student:
        if self.stored:
            kept = self._kept(params, carried, student.a.dtype)
            data = Data(kept.inputs[numbers], kept.answers[numbers])
        else:
            data = self._draw(params, self._data_key(params, carried), numbers)
        return self._sum(student, data, weight)

    def _data_key(self, params: RuleParams, carried: SampleCarried) -> jax.Array:
        """The key of the data; a shared one is not the lane's, so that all lanes draw together."""
        if self.shared:
            shared: jax.Array = jax.random.wrap_key_data(params.source.key, impl="threefry2x32")
            return shared
        return carried.data_key

    def _chunks(self, params: RuleParams, carried: SampleCarried, student: Student) -> Student:
        """The full-batch sum, `chunk` inputs at a time.

        The last chunk is moved back to end at n; inputs that were seen get weight 0.
        """
        zero: Any = jax.tree.map(jnp.zeros_like, student)
        size = min(self.chunk, self.samples)

        def add(total: Student, begin: jax.Array) -> tuple[Student, None]:
            first = jnp.minimum(begin, self.samples - size)
            numbers = first + jnp.arange(size)
            if self.stored:
                kept = self._kept(params, carried, student.a.dtype)
                data = Data(*(lax.dynamic_slice_in_dim(x, first, size) for x in kept))
            else:
                data = self._draw(params, self._data_key(params, carried), numbers)
            part = self._sum(student, data, numbers >= begin)
            return jax.tree.map(jnp.add, total, part), None

        total: Student = lax.scan(add, zero, jnp.arange(0, self.samples, size))[0]
        return total
