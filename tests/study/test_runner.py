"""The engine behind a study gives what it gives alone, and keeps only what is small."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.base.cell import Cell
from jaxcnn.engine.packing import Table
from jaxcnn.study import executors
from jaxcnn.study import runner as runner_module
from jaxcnn.study.build import build_many
from jaxcnn.study.estimate import estimate
from jaxcnn.study.run_study import runner_words
from jaxcnn.study.runner import EngineRunner
from jaxcnn.study.study_file import read_study
from jaxcnn.study.unit import Task

CELLS = [Cell(k=9, ratio=2.0, step_size=0.1), Cell(k=4, ratio=1.0, step_size=0.2)]


def test_tasks_of_many_cells_are_each_an_estimate():
    tasks = [Task(0, 0, 300), Task(1, 40, 100), Task(0, 300, 77)]
    cells = [CELLS[task.cell] for task in tasks]
    landed = {result.task: result for result in EngineRunner(seed=3, patches=9)(cells, tasks)}
    assert set(landed) == set(tasks)
    for cell, task in zip(cells, tasks, strict=True):
        result = landed[task]
        alone = estimate(cell, restarts=task.count, first=task.first, seed=3)
        assert np.array_equal(result.outcomes, alone.outcomes)
        assert np.array_equal(result.steps, alone.steps)
        assert result.stream == "reduced seed 3"
        assert result.lane_steps >= int(result.steps.sum())


RULES = ({}, {"optimizer": "flow"}, {"optimizer": "perturbed", "filter_step_size": 0.2})


@pytest.mark.parametrize("rules", [RULES, RULES[::-1]])
def test_each_rule_of_a_bundle_runs_by_its_own(rules):
    """Families are tuples: those of two rules are equal, and must not share a launch."""
    plain = Cell(k=25, ratio=4.0, step_size=0.2, init="gaussian", max_steps=20_000)
    cells = [plain.with_(**changes) for changes in rules]
    tasks = [Task(i, 0, 400) for i in range(len(cells))]
    landed = {result.task: result for result in EngineRunner(seed=0)(cells, tasks)}
    for cell, task in zip(cells, tasks, strict=True):
        alone = estimate(cell, restarts=400, seed=0)
        assert np.array_equal(landed[task].outcomes, alone.outcomes)
        assert np.array_equal(landed[task].steps, alone.steps)
    # Nor does `alone` run by another's program.
    assert len({result.steps.tobytes() for result in landed.values()}) == len(rules)


STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_cells_of_the_published_studies_can_share_their_launches(path):
    """What is put into one launch has one tree of parameters."""
    study = read_study(path)
    cells = list(study.cells)[:200]
    groups = defaultdict(list)
    for built, shape in EngineRunner(**runner_words(study))._built(cells):
        groups[shape].append(built)
    for members in groups.values():
        assert len({type(built.family) for built in members}) == 1
        Table.of([built.params for built in members])


def test_a_cell_is_built_once_while_it_is_kept(monkeypatch):
    asked = []

    def counted(cells, **words):
        asked.extend(cells)
        return build_many(cells, **words)

    monkeypatch.setattr(runner_module, "build_many", counted)
    monkeypatch.setattr(runner_module, "_CELLS", 2)
    runner = EngineRunner(seed=0)
    third = Cell(k=16, ratio=1.0, step_size=0.1)
    for cell in (*CELLS, CELLS[0], third, CELLS[0], CELLS[1]):
        assert runner.build(cell).params.start.root_k ** 2 == cell.k
    assert asked == [*CELLS, third, CELLS[1]]
    large = Cell(k=2000, ratio=1.0, step_size=1e-3)
    runner = EngineRunner(seed=0, engine="full")
    asked.clear()
    runner.build(large)
    runner.build(large)
    assert asked == [large] * 2


def test_the_slowest_cell_says_how_many_restarts_take_a_second():
    """Within a factor of ten of what a core does: 2 to 3 million restarts of (25, 4) at 0.05."""
    quick, slow = (Cell(k=25, ratio=4.0, step_size=size) for size in (0.05, 0.0005))
    assert 3e5 < EngineRunner(seed=0).check([quick]) < 3e7
    usual = EngineRunner(seed=0).check([quick])
    for change in ({"filter_step_size": 1e-4}, {"teacher_norm": 0.03}):
        assert EngineRunner(seed=0).check([quick.with_(**change)]) < usual / 300
    found = EngineRunner(seed=0).check([slow, quick])
    assert found == pytest.approx(EngineRunner(seed=0).check([quick]) / 100, rel=1e-3)
    assert EngineRunner(seed=0, engine="full").check([quick]) is None
    assert EngineRunner(seed=0).check([quick, quick.with_(optimizer="momentum")]) is None
    assert EngineRunner(seed=0).check([]) is None


def test_cells_of_other_shapes_or_rules_do_not_share_a_launch():
    runner = EngineRunner(seed=0, engine="full")
    sizes = [Cell(k=k, ratio=1.0, p=p, step_size=0.1) for k, p in ((4, 2), (4, 2), (5, 2), (4, 3))]
    shapes = [shape for _, shape in runner._built(sizes)]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 3
    runner = EngineRunner(seed=0)
    rules = [{}, {"step_size": 0.12}, {"step_size": 1e-3}, {"step_size": 1e-6}, {"init": "sphere"}]
    words = [{"k": 25, "ratio": 1.0, "step_size": 0.1} | rule for rule in rules]
    shapes = [shape for _, shape in runner._built([Cell(**each) for each in words])]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 4


def test_what_a_worker_imports_waits_for_nothing_it_does_not_need():
    """scipy.optimize and pandas took two fifths of the start of a worker."""
    code = """
    import sys
    from jaxcnn.study import executors, runner
    from jaxcnn.base.cell import Cell
    runner.EngineRunner(seed=0).build(Cell(k=25, ratio=1.0))
    print([name for name in ("pandas", "scipy.optimize", "scipy.special") if name in sys.modules])
    """
    words = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_ctrl_c_while_workers_start_is_heard_here_and_not_by_them():
    held = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    words = {"capture_output": True, "text": True, "check": True}
    with pytest.raises(KeyboardInterrupt), executors._deaf():
        child = subprocess.run([sys.executable, "-c", held], **words)
        os.kill(os.getpid(), signal.SIGINT)
    assert child.stdout == "True\n"
    assert subprocess.run([sys.executable, "-c", held], **words).stdout == "False\n"
