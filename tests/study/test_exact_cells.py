"""Many cells at once: the answers of each alone, in their order."""

import threading

import pytest

import jaxcnn
from jaxcnn.base.cores import cpu_count
from jaxcnn.base.errors import InputError, NotExactError
from jaxcnn.basin.exact import exact_probabilities
from jaxcnn.model.teacher import Teacher

CELLS = [
    jaxcnn.Cell(k=9, ratio=ratio, step_size=0.1, init=init)
    for ratio in (0.5, 1.0, 2.0, 9.0)
    for init in ("ball", "zero")
]


def test_each_answer_is_that_of_its_cell():
    together = jaxcnn.exact(CELLS, tolerance=1e-8)
    for cell, found in zip(CELLS, together, strict=True):
        alone = jaxcnn.exact(cell, tolerance=1e-8)
        assert found == alone
        assert found.problem["ratio"] == cell.ratio


def test_a_refusal_names_its_cell():
    with pytest.raises(NotExactError, match="k = 9.*init = box.*use `estimate`$"):
        jaxcnn.exact([*CELLS, CELLS[0].with_(init="box")])


@pytest.mark.parametrize("options", [{"p": 3}, {"start": jaxcnn.Start(angle=1.0)}, {"k": 4}])
def test_what_one_cell_takes_is_refused_for_many(options):
    with pytest.raises(InputError, match=f"{next(iter(options))}.*part of each cell"):
        jaxcnn.exact(CELLS, **options)


@pytest.mark.parametrize("wrong", [[Teacher(k=4, p=2, ratio=1.0)], 4, "cells"])
def test_what_is_no_cell_is_named(wrong):
    with pytest.raises(InputError, match="must be a Teacher, a Cell or a list of cells"):
        jaxcnn.exact(wrong)


def test_an_iterator_that_is_left_takes_no_further_cells():
    taken = []

    def cells():
        for cell in CELLS * 50:
            taken.append(cell)
            yield cell

    answers = exact_probabilities(cells())
    next(answers)
    answers.close()
    assert len(taken) == 2 * cpu_count() + 1


def test_nobody_waits_for_a_cell_in_progress():
    """The cell alone takes minutes; its thread ends with its next trial runs."""
    slow = jaxcnn.Cell(k=25, ratio=4, step_size=2e-5)
    before = set(threading.enumerate())
    assert list(exact_probabilities([slow], seconds=0.2)) == []
    for thread in set(threading.enumerate()) - before:
        thread.join(60.0)
        assert not thread.is_alive()
