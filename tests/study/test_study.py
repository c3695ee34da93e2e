import json
import math

import numpy as np
import pytest
from fake_runner import study
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError
from jaxcnn.study.axis import MOST_CELLS
from jaxcnn.study.cell_grid import CellGrid
from jaxcnn.study.study import Study


def refused(**changes) -> str:
    with pytest.raises(InputError) as caught:
        study(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cells_are_every_combination_last_key_fastest():
    made = study()
    assert len(made) == 12
    assert made.cells[0] == Cell(k=25, ratio=1, step_size=0.05)
    assert made.cells[1] == Cell(k=25, ratio=1, step_size=0.1)
    assert made.cells[-1 + 12] == Cell(k=100, ratio=9, step_size=0.1)
    assert [cell.k for cell in made.cells] == [25] * 6 + [100] * 6


def test_the_order_of_keys_does_not_matter_but_that_of_values_does():
    grid = {"step_size": [0.05, 0.1], "ratio": [1, 4, 9], "k": [25, 100]}
    assert study(grid=grid).id == study().id
    assert study(grid={**grid, "ratio": [4, 1, 9]}).id != study().id


def test_zip_pairs_its_lists():
    made = study(grid={"step_size": [0.05, 0.1]}, zip={"k": [25, 100], "ratio": [1, 9]})
    assert [(c.k, c.ratio, c.step_size) for c in made.cells] == [
        (25, 1, 0.05), (25, 1, 0.1), (100, 9, 0.05), (100, 9, 0.1),
    ]  # fmt: skip


def test_spaced_values_have_their_ends_and_do_not_depend_on_the_last_digit():
    made = study(grid={"k": [25], "ratio": {"linspace": [0, 1, 4]}})
    assert [c.ratio for c in made.cells] == [0.0, 0.333333333333, 0.666666666667, 1.0]
    made = study(grid={"k": [25], "ratio": [1], "step_size": {"logspace": [0.001, 0.1, 3]}})
    assert [c.step_size for c in made.cells] == [0.001, 0.01, 0.1]


def test_numpy_values_and_ranges_are_taken_from_python():
    made = study(grid={"k": np.array([25, 100]), "ratio": range(1, 3)})
    assert [c.k for c in made.cells] == [25, 25, 100, 100]
    json.dumps(made.words())


@given(st.permutations(["restarts", "half_width", "decision"]))
def test_exactly_one_way_to_stop(ways):
    given_ = {"restarts": 10, "half_width": 0.1, "decision": {"above": 0.9}}
    none = dict.fromkeys(given_)
    assert study(**{**none, ways[0]: given_[ways[0]]})
    message = refused(**{**none, ways[0]: given_[ways[0]], ways[1]: given_[ways[1]]})
    assert "excludes" in message
    assert "when to stop" in refused(**none)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"fixed": {"q": 6}}, ["[fixed] q = 6", "must be one of"]),
        ({"fixed": {"step_sise": 0.1}}, ["did you mean step_size?"]),
        ({"fixed": {"p": True}}, ["[fixed] p = True", "must be a number"]),
        ({"fixed": {"p": "6"}}, ["[fixed] p = '6'", "must be a number"]),
        ({"fixed": {"p": math.nan}}, ["finite"]),
        ({"fixed": {"p": math.inf}}, ["finite"]),
        ({"fixed": {"p": 10**400}}, ["2**53"]),
        ({"fixed": {"p": [6]}}, ["single"]),
        ({"fixed": {"init": "bal"}}, ["[fixed] init = 'bal'", "ball"]),
        ({"fixed": {"k": 25}}, ["[grid] k", "is in [fixed] already"]),
        ({"fixed": {"seed": 1}}, ["belongs in [study]"]),
        ({"fixed": {"a\nb": 1}}, ["'a\\nb'"]),
        ({"zip": {"ratio": [1]}}, ["is in [grid] already"]),
        ({"grid": {"k": [25]}}, ["ratio = None", "must be given"]),
        ({"grid": {"k": [], "ratio": [1]}}, ["[grid] k = []", "at least one"]),
        ({"grid": {"k": 25, "ratio": [1]}}, ["[grid] k = 25", "belongs in [fixed]"]),
        ({"grid": {"k": "25", "ratio": [1]}}, ["must be a list"]),
        ({"grid": {"k": [25, 4], "ratio": [1, 9]}}, ["[grid] ratio = 9.0", "k = 4", "skip_impossible"]),
        ({"grid": {"k": [25, 25.0], "ratio": [1]}}, ["same cell twice"]),
        ({"grid": {"k": range(10**9), "ratio": [1]}}, ["too many"]),
        ({"grid": {"k": range(10, 2000), "ratio": range(2000)}}, ["too many"]),
        ({"grid": {"k": {"linspace": [1, 2, 10**9]}, "ratio": [1]}}, [f"2 to {MOST_CELLS}"]),
        ({"grid": {"k": {"linspace": [1, 2]}, "ratio": [1]}}, ["[a, b, n]"]),
        ({"grid": {"k": {"linspace": [1, math.inf, 3]}, "ratio": [1]}}, ["finite"]),
        ({"grid": {"k": {"linspace": [1, 2, 3]}, "ratio": [1]}}, ["k = 1.5", "whole"]),
        ({"grid": {"k": {"logspace": [0, 2, 3]}, "ratio": [1]}}, ["greater than 0"]),
        ({"grid": {"k": {"linspce": [1, 2, 3]}, "ratio": [1]}}, ["linspace"]),
        ({"grid": {}, "zip": {"k": [25, 36], "ratio": [1]}}, ["one length"]),
        ({"seed": True}, ["seed = True"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"seed": 2**63}, ["2**63"]),
        ({"confidence": 95}, ["confidence = 95"]),
        ({"restarts": 0}, ["restarts = 0"]),
        ({"restarts": 10.0}, ["restarts = 10.0"]),
        ({"restarts": 2**41}, ["2**40"]),
        ({"restarts": None, "half_width": 0.5}, ["half_width = 0.5"]),
        ({"max_restarts": 10}, ["excludes restarts"]),
        ({"engine": "fast"}, ["auto, full, reduced"]),
        ({"dtype": "float16"}, ["float32"]),
        ({"skip_impossible": 1}, ["true, false"]),
        ({"restart": 5}, ["did you mean restarts?"]),
        ({"k": 5}, ["belongs in [fixed]"]),
        ({"fixed": 5}, ["must be a table"]),
        ({"restarts": None, "decision": {}}, ["[decision] above = None"]),
        ({"restarts": None, "decision": {"above": 2}}, ["between 0 and 1"]),
        ({"restarts": None, "decision": {"over": 0.5}}, ["[decision] over"]),
        ({"restarts": None, "decision": {"above": {"ratio": 5}}}, ["ratio", "one value"]),
        ({"restarts": None, "decision": {"above": {"p": 6}}}, ["varies"]),
        ({"restarts": None, "decision": {"above": {"rho": 6}}}, ["rho"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_one_line(changes, parts):
    message = refused(**changes)
    for part in parts:
        assert part in message, message


def test_impossible_cells_can_be_left_out():
    made = study(grid={"k": [4, 25], "ratio": [1, 9]}, skip_impossible=True)
    assert [(c.k, c.ratio) for c in made.cells] == [(4, 1), (25, 1), (25, 9)]
    assert made.cells.skipped == [1]
    again = Study.from_trusted_words(made.words(), made.cells.skipped)
    assert list(again.cells) == list(made.cells)
    assert again.id == made.id
    assert "no cell" in refused(grid={"k": [4], "ratio": [9]}, skip_impossible=True)


def test_words_make_the_same_study_again():
    for made in (
        study(),
        study(seed=7, confidence=0.9, engine="full", dtype="float64"),
        study(restarts=None, half_width=0.01, max_restarts=5000, fixed={"p": 20}),
        study(restarts=None, decision={"above": {"ratio": 4}}),
        study(fixed=None, grid={"ratio": [1, 2]}, zip={"k": [4, 9], "p": [2, 3]}),
    ):
        words = json.loads(json.dumps(made.words()))
        again = Study.from_words(**words)
        assert again.words() == made.words()
        assert again.id == made.id


def test_identity_is_what_is_computed_not_how_long():
    for change in ({"restarts": 2000}, {"confidence": 0.5}, {"fixed": None}, {"fixed": {"p": 6.0}}):
        assert study(**change).id == study().id
    assert study(restarts=None, half_width=0.1).id == study().id
    for change in ({"seed": 1}, {"engine": "full"}, {"fixed": {"p": 7}}, {"dtype": "float64"}):
        assert study(**change).id != study().id


def test_differences_are_named():
    other = study(seed=3, grid={"k": [25, 100], "ratio": [1, 4], "step_size": [0.05, 0.1]})
    text = study().differences(other)
    assert "seed is 0, not 3" in text
    assert "[grid] ratio is [1.0, 4.0, 9.0], not [1.0, 4.0]" in text
    assert "k is" not in text


def test_references_of_a_decision():
    made = study(restarts=None, decision={"above": {"ratio": 4}})
    for cell, reference in enumerate(made.references):
        assert made.cells[int(reference)] == made.cells[cell].with_(ratio=4.0)


def test_a_reference_that_cannot_exist_is_none():
    made = study(
        restarts=None, decision={"above": {"ratio": 9}}, skip_impossible=True,
        grid={"k": [4, 25], "ratio": [1, 9]},
    )  # fmt: skip
    assert made.references.tolist() == [-1, 2, 2]


def test_the_largest_value_of_a_key_is_among_cells_that_exist():
    grid = {"k": [4, 9, 3], "ratio": [9.0, 3.5, 8.0]}
    made = study(grid=grid, skip_impossible=True, fixed={"p": 7})
    assert [made.cells.largest(key) for key in ("k", "p", "max_steps")] == [9, 7, 1_000_000]
    made = study(grid=grid | {"k": [4, 3]}, skip_impossible=True)
    assert [made.cells.largest(key) for key in ("k", "ratio")] == [4, 3.5]
    zipped = study(fixed=None, grid={"k": [25]}, zip={"p": [3, 9, 4], "ratio": [2, 1, 3]})
    assert zipped.cells.largest("p") == 9


def test_cells_that_are_made_are_those_of_a_fresh_grid():
    made = study(grid={"k": [4, 25], "ratio": [1.0, 9.0]}, skip_impossible=True)
    for _ in range(2):
        assert [(cell.k, cell.ratio) for cell in made.cells] == [(4, 1.0), (25, 1.0), (25, 9.0)]


@pytest.mark.parametrize(
    ("fixed", "axes"),
    [
        ({}, {"k": [4, 25], "ratio": [1.0, 4.0], "step_size": [0.1, 0.2]}),
        ({"init": "sphere", "max_steps": 70}, {"k": [4, 25], "ratio": [0.0, 4.0]}),
        ({"ratio": 2.0, "step_size": 0.3}, {"k": [4, 9], "init": ["ball", "box"]}),
        ({"k": 9, "ratio": 2.0}, {"optimizer": ["sgd", "perturbed", "adam"], "p": [2, 6]}),
        ({"k": 9, "ratio": 2.0}, {"samples": [30, 40], "batch": [10, 20], "p": [2, 6]}),
        ({"k": 9, "ratio": 2.0}, {"step_size": [None, 0.3], "teacher_norm": [1.0, 2.0]}),
    ],
)
def test_the_cells_of_a_grid_are_those_of_their_words(fixed, axes):
    whole = study(fixed=fixed, grid=axes)
    again = study(fixed=fixed, grid=axes)
    for number in reversed(range(len(whole))):  # in an order in which nothing is kept yet
        cell = again.cells[number]
        told = Cell(**fixed, **whole.cells.values(number))
        assert (cell, hash(cell), repr(cell)) == (told, hash(told), repr(told))
    assert list(whole.cells) == [again.cells[number] for number in range(len(whole))]


@pytest.mark.parametrize(
    "words",
    [
        {"grid": {"k": [25, 4], "ratio": [1.0, 9.0]}},
        {"zip": {"k": [25, 4], "ratio": [1.0, 9.0]}, "grid": None},
        {"fixed": {"ratio": 9.0}, "grid": {"k": [25, 4]}},
        {"grid": {"k": [25], "ratio": [1.0, 2.0], "batch": [10, 50], "samples": [30, 60]}},
        {"grid": {"k": [25], "ratio": [1.0], "optimizer": ["sgd", "flow"], "samples": [30]}},
        {"grid": {"k": [25], "ratio": [1.0], "step_size": [0.1, 0.2, 0.1]}},
        {"zip": {"k": [25, 25], "ratio": [1.0, 1.0]}, "grid": None},
        {"grid": {"k": [25], "ratio": [1.0], "step_size": [None, math.pi / (24 + math.pi)]}},
        {"fixed": {"k": 25, "ratio": 1.0, "optimizer": "perturbed"},
         "grid": {"filter_step_size": [None, 0.2]}},
    ],
)  # fmt: skip
def test_cells_that_are_not_tried_one_by_one_are_refused_as_if_they_were(words, monkeypatch):
    quick = refused(**words)
    monkeypatch.setattr(CellGrid, "_all_exist", lambda self: False)
    assert refused(**words) == quick
