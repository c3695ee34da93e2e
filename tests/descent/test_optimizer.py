"""The rules against an independent loop: optax's own aliases on autodiff of the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from stepping import built64, close, walk

from jaxcnn.base.cell import Cell
from jaxcnn.engine.lanes import LaneSettings
from jaxcnn.engine.launch import launch
from jaxcnn.model.activation import activation
from jaxcnn.model.population import Student, loss
from jaxcnn.study.build import build
from jaxcnn.study.build_rule import Custom
from jaxcnn.study.estimate import estimate

ALIASES = {
    "sgd": optax.sgd,
    "momentum": lambda lr: optax.sgd(lr, momentum=0.9),
    "nesterov": lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True),
    "adam": optax.adam,
    "adamw": optax.adamw,
    "rmsprop": optax.rmsprop,
    "adagrad": optax.adagrad,
    "lion": optax.lion,
}


def reference(rule, params, sigma, student, steps):
    """Plain optax: value_and_grad of the loss, update, apply_updates."""
    memory = rule.init(student)

    def body(_, carry):
        at, memory = carry
        slope = jax.grad(loss)(at, params.target, sigma)
        updates, memory = rule.update(slope, memory, at)
        return optax.apply_updates(at, updates), memory

    return jax.jit(lambda c: jax.lax.fori_loop(0, steps, body, c))((student, memory))[0]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.heavy if n in ("adamw", "lion") else ())
        for n in sorted(ALIASES)
    ],
)
def test_rule_equals_optax_alias(name):
    cell = Cell(k=9, ratio=4.0, p=5, optimizer=name, step_size=0.02, schedule="exponential",
                schedule_steps=10**9)  # fmt: skip
    built = built64(cell)
    start = built.family(built.params).start(jax.random.key(1))
    expected = reference(ALIASES[name](0.02), built.params, activation("relu"), start.student, 300)
    got = walk(built, 300, key=1).student
    # The schedule is there to keep sgd off its own engine; over 300 steps it is 1 − 7e-7.
    tolerance = 1e-3 if name == "lion" else 1e-5
    close(got.v, expected.v, tolerance)
    close(got.a, expected.a, tolerance)
    assert float(jnp.linalg.norm(got.a - start.student.a)) > 0.05


def test_separate_step_sizes_and_optax_schedule():
    cell = Cell(k=9, ratio=4.0, p=5, activation="gelu", optimizer="adam", step_size=0.02,
                filter_step_size=0.005, schedule="cosine", schedule_steps=150)  # fmt: skip
    built = built64(cell)
    start = built.family(built.params).start(jax.random.key(2))
    rule = optax.multi_transform(
        {
            "v": optax.adam(optax.cosine_decay_schedule(0.005, 150)),
            "a": optax.adam(optax.cosine_decay_schedule(0.02, 150)),
        },
        Student("v", "a"),
    )
    expected = reference(rule, built.params, activation("gelu"), start.student, 200)
    got = walk(built, 200, key=2).student
    close(got.v, expected.v, 1e-10)
    close(got.a, expected.a, 1e-10)


def test_optax_object_is_applied_as_it_is():
    rule = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.03))
    cell = Cell(k=9, ratio=4.0, p=5)
    built = built64(cell, custom=Custom(optimizer=rule))
    start = built.family(built.params).start(jax.random.key(3))
    expected = reference(rule, built.params, activation("relu"), start.student, 100)
    close(walk(built, 100, key=3).student.a, expected.a, 1e-10)


def test_one_compilation_for_all_step_sizes():
    one = build(Cell(k=9, ratio=4.0, optimizer="adam"))
    two = build(Cell(k=9, ratio=1.0, optimizer="adam", step_size=0.5, momentum=0.5, epsilon=1e-3))
    assert one.family == two.family
    assert hash(one.family) == hash(two.family)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), b.params) for b in (one, two)]
    assert shapes[0] == shapes[1]


def test_the_engine_compiles_once_per_optimizer():
    """Four step sizes, a step size for v and a momentum: one program; another rule: another."""
    options = {"restarts": 8, "max_steps": 64, "settings": LaneSettings(32, 8, True, 1, 64)}
    cell = Cell(k=5, ratio=2.0, p=3, optimizer="nesterov", filter_step_size=0.1)

    def programs(cells):
        before = launch.compilations()
        ends = [estimate(c, engine="full", **options).counts.restarts for c in cells]
        assert ends == [8] * len(cells)
        return launch.compilations() - before

    changes = [{"step_size": 0.3}, {"step_size": 0.01, "filter_step_size": 0.2}, {"momentum": 0.5}]
    assert programs([cell, *(cell.with_(**c) for c in changes)]) == 1
    assert programs([cell.with_(optimizer="momentum")]) == 1


def test_padding_changes_nothing():
    cell = Cell(k=9, ratio=4.0, p=5, optimizer="adam")
    plain, padded = built64(cell), built64(cell, patches=12)
    wide = walk(padded, 50).student.a
    close(wide[:9], walk(plain, 50).student.a)
    assert np.all(np.asarray(wide[9:]) == 0)


TOLERANT = ["momentum", "nesterov", "adam", "rmsprop", "adagrad", "adamw", "lion"]


@pytest.mark.heavy
@pytest.mark.parametrize("name", TOLERANT)
def test_halving_the_tolerance_and_doubling_the_steps_keep_the_estimate(name):
    """Same starts; at most 2 % of the outcomes may change."""
    cell = Cell(k=25, ratio=4.0, optimizer=name, max_steps=20_000)
    first = estimate(cell, restarts=400)
    tight = cell.with_(max_steps=40_000, angle_tolerance=0.025, loss_tolerance=5e-4)
    second = estimate(tight, restarts=400)
    assert first.low <= second.p_global <= first.high
    assert np.mean(first.outcomes != second.outcomes) < 0.02
    assert "angle within 0.05, relative loss within 0.001" in str(first.problem["outcomes"])
