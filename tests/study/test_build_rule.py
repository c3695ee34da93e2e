"""Words that exclude each other are refused in one line; nothing is silently ignored."""

import optax
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError, RefusedError
from jaxcnn.model.activation import activation
from jaxcnn.study.build import build
from jaxcnn.study.estimate import estimate

PLAIN = {"k": 9, "ratio": 4.0}

IN_CELL = [
    {"samples": 10, "batch": 11},
    {"batch": 5},
    {"data": "shared"},
    {"label_noise": 0.1},
    {"samples": 10, "data_seed": 1},
    {"momentum": 0.5},
    {"optimizer": "adagrad", "momentum": 0.5},
    {"optimizer": "momentum", "decay": 0.5},
    {"optimizer": "momentum", "epsilon": 0.5},
    {"schedule": "cosine"},
    {"schedule_steps": 10},
    {"noise_filter": 0.5},
    {"optimizer": "adam", "noise_epochs": 1},
    {"slope": 0.2},
    {"init": "zero", "init_scale": 2.0},
    {"filter_init": "shortcut"},
    {"warmup_steps": 10},
    {"filter_init": "shortcut", "teacher_angle": 1.0, "optimizer": "adamw"},
    {"estimator": "relu"},
    {"activation": "step", "samples": 10},
    {"optimizer": "flow", "samples": 10},
    {"optimizer": "flow", "schedule": "cosine", "schedule_steps": 10},
    {"optimizer": "perturbed", "activation": "step", "estimator": "relu"},
]

IN_BUILD = [
    ({"optimizer": "adam"}, {"engine": "reduced"}),
    ({"samples": 10}, {"engine": "reduced"}),
    ({"optimizer": "perturbed", "samples": 10}, {"engine": "reduced"}),
    ({"optimizer": "flow"}, {"engine": "full"}),
    ({"optimizer": "flow", "step_size": 5.0}, {}),
    ({"optimizer": "flow", "activation": "step"}, {}),
    ({"angle_tolerance": 0.1}, {}),
    ({"optimizer": "flow", "loss_tolerance": 0.1}, {}),
]


@pytest.mark.parametrize("words", IN_CELL)
def test_refused_by_the_cell(words):
    with pytest.raises(RefusedError) as caught:
        Cell(**PLAIN, **words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("words", "options"), IN_BUILD)
def test_refused_by_build(words, options):
    with pytest.raises(RefusedError) as caught:
        build(Cell(**PLAIN, **words), **options)
    assert "\n" not in str(caught.value)


def test_optax_object_has_its_own_step_size():
    with pytest.raises(RefusedError, match="step_size"):
        estimate(Cell(**PLAIN), optimizer=optax.adam(0.1), step_size=0.2)
    with pytest.raises(InputError, match="optimizer"):
        estimate(Cell(**PLAIN), optimizer=3)
    with pytest.raises(RefusedError, match="twice"):
        estimate(Cell(**PLAIN, activation="erf"), activation=activation("sin"))


@pytest.mark.parametrize("name", ["momentum", "nesterov", "flow", "perturbed"])
def test_auto_takes_scalars_where_they_are_exact(name):
    assert build(Cell(**PLAIN, optimizer=name)).engine == "reduced"


@pytest.mark.parametrize("words", [{"optimizer": "adam"}, {"samples": 20}, {"init": "box"}])
def test_auto_takes_the_full_state_elsewhere(words):
    assert build(Cell(**PLAIN, **words)).engine == "full"


def test_proved_or_not_is_said():
    assert build(Cell(**PLAIN, activation="erf")).proved
    assert not build(Cell(**PLAIN, activation="step")).proved
    assert not build(Cell(**PLAIN, optimizer="momentum")).proved
    assert build(Cell(**PLAIN, optimizer="perturbed")).proved
