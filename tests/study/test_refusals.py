"""Combinations that would be ignored or are not defined: one line, from Python and the shell."""

import sys

import pytest

from jaxcnn.base.cell import _ALONE, Cell
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.study.build import build
from jaxcnn.study.exact import exact
from jaxcnn.view import process

BASE = {"k": 9, "ratio": 2.0}
BUILD = [
    ({"optimizer": "adam"}, "reduced", "engine = 'reduced'"),
    ({"samples": 50}, "reduced", "engine = 'reduced'"),
    ({"optimizer": "flow"}, "full", "optimizer = 'flow'"),
    ({"samples": 50, "batch": 51}, "auto", "batch = 51"),
    ({"batch": 5}, "auto", "batch = 5"),
    ({"label_noise": 0.1}, "auto", "label_noise = 0.1"),
    ({"data": "shared"}, "auto", "data = 'shared'"),
    ({"samples": 50, "data_seed": 2}, "auto", "data_seed = 2"),
    ({"momentum": 0.5}, "auto", "momentum = 0.5"),
    ({"optimizer": "sgd", "decay": 0.5}, "auto", "decay = 0.5"),
    ({"optimizer": "momentum", "epsilon": 0.5}, "auto", "epsilon = 0.5"),
    ({"schedule": "cosine"}, "auto", "schedule = 'cosine'"),
    ({"schedule_steps": 10}, "auto", "schedule_steps = 10"),
    ({"noise_filter": 2.0}, "auto", "noise_filter = 2.0"),
    ({"filter_init": "shortcut"}, "auto", "filter_init = 'shortcut'"),
    ({"warmup_steps": 10}, "auto", "warmup_steps = 10"),
    ({"estimator": "relu"}, "auto", "estimator = 'relu'"),
    ({"activation": "step", "samples": 50}, "auto", "samples = 50"),
    ({"activation": "step", "estimator": "relu", "optimizer": "flow"}, "auto", "estimator"),
    ({"slope": 0.3}, "auto", "slope = 0.3"),
    ({"angle_tolerance": 0.2}, "auto", "angle_tolerance = 0.2"),
]
EXACT = [
    ({"samples": 50}, "samples = 50"),
    ({"optimizer": "adam"}, "optimizer = 'adam'"),
    ({"optimizer": "perturbed"}, "optimizer = 'perturbed'"),
    ({"schedule": "cosine", "schedule_steps": 10}, "schedule = 'cosine'"),
]


def shell(monkeypatch, capsys, command, words):
    """(status, standard error) of the command line with these options."""
    options = [[f"--{name.replace('_', '-')}", str(value)] for name, value in words.items()]
    monkeypatch.setattr(sys, "argv", ["jaxcnn", command, *(part for o in options for part in o)])
    with pytest.raises(SystemExit) as end:
        process.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("words", "engine", "said"), BUILD, ids=lambda x: str(x)[:60])
def test_refused_in_one_line(words, engine, said, monkeypatch, capsys):
    with pytest.raises(InputError) as caught:
        build(Cell(**BASE, **words), engine=engine)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    status, text = shell(monkeypatch, capsys, "estimate", {**BASE, **words, "engine": engine})
    assert status == 2
    assert text.count("\n") == 1
    name, *value = said.split(" = ")
    assert " = ".join([name.replace("_", "-"), *value]) in text


@pytest.mark.parametrize(("words", "said"), EXACT, ids=lambda x: str(x)[:60])
def test_no_exact_value(words, said, monkeypatch, capsys):
    with pytest.raises(NotExactError) as caught:
        exact(Cell(**BASE, **words))
    assert said in str(caught.value)
    status, text = shell(monkeypatch, capsys, "exact", {**BASE, **words})
    assert status == 2
    assert text.count("\n") == 1
    assert said in text


def test_fields_whose_company_is_not_asked_for_are_in_no_rule():
    named = {name for names, _, _ in Cell(**BASE)._company() for name in names}
    assert "slope" in named
    assert not named & _ALONE
