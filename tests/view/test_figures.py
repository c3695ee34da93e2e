import math

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot, rcParams
from matplotlib.figure import Figure

from jaxcnn.base.cell import Cell
from jaxcnn.base.errors import InputError
from jaxcnn.base.restarts import restarts_needed
from jaxcnn.model.landscape import landscape
from jaxcnn.model.teacher import Teacher
from jaxcnn.study.basin_map import basin_map
from jaxcnn.study.paper import table1
from jaxcnn.study.trajectory import phases, trajectory
from jaxcnn.view.figures.basin_map import basin_figure
from jaxcnn.view.figures.canvas import save
from jaxcnn.view.figures.landscape import between_minima, valley_loss
from jaxcnn.view.figures.precision import width_figure
from jaxcnn.view.figures.restarts import restarts_figure
from jaxcnn.view.figures.steps import steps_figure, steps_histogram
from jaxcnn.view.figures.success import heat_map, lines
from jaxcnn.view.figures.table1 import table1_figure
from jaxcnn.view.figures.trajectory import two_phase
from jaxcnn.view.runs import open_run, select


@pytest.fixture
def rows(run):
    return open_run(run).table


@pytest.fixture(autouse=True)
def _styles_are_left_alone():
    before = dict(rcParams)
    yield
    assert dict(rcParams) == before


def drawn(ax):
    """Draw it: many faults of a figure show only then."""
    ax.figure.canvas.draw()
    return ax


def test_lines_hold_the_numbers(rows):
    cut = rows[rows["step_size"] == 0.05].assign(exact=0.5)
    ax = drawn(lines(cut, "ratio", "k"))
    for k, line in zip(
        (25, 100), [one for one in ax.lines if one.get_marker() in "os"], strict=True
    ):
        np.testing.assert_array_equal(line.get_ydata(), cut.loc[cut["k"] == k, "p_global"])
    marked = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert marked == pytest.approx([(k + math.pi - 1) / math.pi for k in (25, 100)])
    assert len(ax.collections) == 2


def test_lines_take_words_for_the_axis():
    table = pd.DataFrame(
        {"init": ["ball", "box"], "restarts": 9, "p_global": [0.5, 0.6], "low": 0.4, "high": 0.7}
    )
    ax = drawn(lines(table, "init"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["ball", "box"]


def test_lines_refuse_what_would_lie(rows):
    with pytest.raises(InputError, match="--at"):
        lines(rows, "ratio", "k")
    with pytest.raises(InputError, match="must be a key that varies: k, ratio, step_size"):
        lines(rows, "p_global")


def test_heat_map_holds_the_numbers_and_leaves_gaps(rows):
    cut = rows[rows["step_size"] == 0.05].iloc[:-1]
    ax = drawn(heat_map(cut, "ratio", "k"))
    values = ax.collections[0].get_array()
    assert values.shape == (2, 3)
    assert np.ma.count_masked(values) == 1
    assert values[0, 0] == cut["p_global"].iloc[0]


def test_restarts_needed_match(rows):
    ax = drawn(restarts_figure(rows))
    (points,) = [line for line in ax.lines if line.get_marker() == "o"]
    wanted = [restarts_needed(float(p), 0.01) for p in rows["p_global"]]
    np.testing.assert_array_equal(points.get_ydata(), wanted)


def test_width(rows):
    ax = drawn(width_figure(rows))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), rows["half_width"])


def test_steps(rows):
    table = pd.DataFrame({"outcome": ["global"] * 3 + ["spurious"], "steps": [0, 1, 9, 4000]})
    ax = drawn(steps_figure(table))
    assert len(ax.get_legend().get_texts()) == 2
    shares = [patch.get_data().values.sum() for patch in ax.patches if patch.get_fill()]
    assert shares == [0.75, 0.25]
    drawn(steps_histogram({"global": [3, 0, 1], "diverged": [0]}))


@pytest.mark.parametrize(("k", "ratio"), [(25, 4.0), (25, 12.0), (4, 0.0)])
def test_line_between_minima_meets_the_critical_points(k, ratio):
    teacher = Teacher(k=k, ratio=ratio, teacher_norm=1.7)
    ax = drawn(between_minima(teacher))
    (valley,) = [line for line in ax.lines if "each angle" in str(line.get_label())]
    points = landscape(teacher).points
    for point, end in ((points[0], 0), (points[-1], -1)):
        assert valley.get_ydata()[end] == pytest.approx(point.loss, abs=1e-12)


def test_valley_is_the_least_loss():
    from jaxcnn.model.activation import relu
    from jaxcnn.view.figures.landscape import _loss

    teacher, sigma, deficit = Teacher(k=7, ratio=3.0), relu(), 0.2
    least = valley_loss(teacher, sigma, deficit)
    for along in np.linspace(-1, 2, 31):
        for ones in np.linspace(-1, 1, 21):
            assert _loss(teacher, sigma, deficit, along, ones) >= least - 1e-12


def test_basin_map_separates_what_runs_do():
    cell = Cell(k=9, ratio=2, step_size=0.1)
    found = basin_map(cell, runs=2)
    (at_zero,) = np.interp([0.0], found.alignment, found.threshold)
    assert 0.5 * math.pi < at_zero < math.pi
    assert np.all(np.diff(found.threshold) > 0)
    drawn(basin_figure(found))
    above = basin_map(Cell(k=9, ratio=6, step_size=0.1), runs=1)
    assert math.isnan(above.edge_angle)
    drawn(basin_figure(above))


def test_two_phases_are_found_and_drawn():
    # About half of the starts end at the spurious minimum, which has no second phase.
    tables = (
        trajectory(Teacher(k=20, p=25, ratio=1.0), step_size=0.05, restart=restart)
        for restart in range(20)
    )
    table = next(each for each in tables if each["loss"].iloc[-1] < 1e-10)
    found = phases(table)
    assert 0 < found.first_end < found.second_end < table["step"].iloc[-1]
    tail = table[(table["loss"] < 1e-7) & (table["loss"] > 1e-12)]
    ratio = (tail["loss"].iloc[-1] / tail["loss"].iloc[0]) ** (
        1 / (tail["step"].iloc[-1] - tail["step"].iloc[0])
    )
    assert 1 - found.rate == pytest.approx(ratio, rel=1e-3)
    upper, _ = two_phase(table)
    drawn(upper)
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), table["loss"])
    assert [text.get_text() for text in upper.texts] == ["$T_1$", "$T_2$"]
    ax = pyplot.figure().subplots()
    assert two_phase(table, ax) is ax


def test_table1_figure_and_numbers(tmp_path):
    table = table1(restarts=60, exact=False)
    ax = drawn(table1_figure(table))
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    shown = np.concatenate([line.get_ydata() for line in crosses])
    np.testing.assert_array_equal(np.sort(shown), np.sort(table.cells["paper"]))
    for ending in ("png", "pdf", "svg"):
        save(ax.figure, tmp_path / f"f.{ending}")
    assert ax is table1_figure(table.cells, ax)


def test_a_given_axes_is_used(rows):
    ax = Figure().subplots()
    assert restarts_figure(rows, ax) is ax


def test_select_picks_cells(rows):
    cut = select(rows, ("k", "ratio", "step_size"), ["step_size=0.05", "k=25"])
    assert len(cut) == 3
    with pytest.raises(InputError, match="must be a value of the study: 25, 100"):
        select(rows, ("k",), ["k=7"])


def test_select_takes_the_nearest_of_close_values():
    table = pd.DataFrame({"data_seed": [20240001, 20240002, 7]})
    assert select(table, ["data_seed"], ["data_seed=20240002"])["data_seed"].tolist() == [20240002]
    assert select(table, ["data_seed"], ["data-seed=20240001"])["data_seed"].tolist() == [20240001]


def test_select_knows_cells_without_a_value():
    table = pd.DataFrame({"filter_step_size": [np.nan, 0.5], "p_global": [0.1, 0.2]})
    assert select(table, ["filter_step_size"], ["filter_step_size=none"])["p_global"].tolist() == [
        0.1
    ]
    with pytest.raises(InputError, match="must be a value of the study: none, 0.5"):
        select(table, ["filter_step_size"], ["filter_step_size=0.7"])
