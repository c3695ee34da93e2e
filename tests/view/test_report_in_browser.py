"""The report as a person opens it: in a real browser."""

import re

import numpy as np
import pytest
from browser import Browser, installed

from jaxcnn.study.study import Study
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.view.report import report
from jaxcnn.view.runs import open_run
from tests.study.fake_runner import FakeRunner, study

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(installed() is None, reason="no Chromium on PATH: apt install chromium"),
]
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


@pytest.fixture
def browser():
    with Browser() as browser:
        yield browser


def column(browser, place):
    """What the cells table shows in one column."""
    return browser.value(
        f"[...document.querySelectorAll('table.sortable tbody tr')].map(r => r.cells[{place}].textContent)"
    )


def press(browser, place):
    browser.click(f"table.sortable th:nth-child({place + 1}) [role=button]")


def is_quiet(browser, page):
    """Whether nothing was asked but the page itself, and nothing went wrong in it."""
    outside = [a for a in browser.addresses() if not a.startswith("data:") and a != page.as_uri()]
    dialogs = [name for name, _ in browser.events if name == "Page.javascriptDialogOpening"]
    return (outside, browser.complaints(), dialogs) == ([], [], [])


def test_it_renders_sorts_and_prints(run, tmp_path, browser):
    page = report(run, tmp_path / "r.html")
    browser.open(page.as_uri())
    table = open_run(run).table
    assert browser.value("document.title") == str(run)
    # 1 + 1/2 + ... images that failed to load have no size.
    sizes = browser.value("[...document.images].map(i => i.naturalWidth)")
    assert len(sizes) == 5
    assert min(sizes) > 100
    names = browser.value(
        "[...document.querySelectorAll('table.sortable th')].map(h => h.textContent)"
    )
    place = names.index("P(global)")
    press(browser, place)
    assert [float(x) for x in column(browser, place)] == pytest.approx(
        sorted(table["p_global"]), abs=1e-4
    )
    # A row stays together.
    order = table["p_global"].argsort(kind="stable")
    assert [int(x) for x in column(browser, 0)] == table["k"].iloc[order].tolist()
    press(browser, place)
    assert [float(x) for x in column(browser, place)] == pytest.approx(
        sorted(table["p_global"], reverse=True), abs=1e-4
    )
    browser.value(f"document.querySelectorAll('table.sortable th [role=button]')[{place}].focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter")
    assert float(column(browser, place)[0]) == pytest.approx(table["p_global"].min(), abs=1e-4)
    press(browser, names.index("standing"))
    assert column(browser, names.index("standing")) == ["enough"] * 12
    # A page needs no scrolling sideways, on a telephone either.
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    paper = browser.pdf()
    assert paper.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 4
    assert is_quiet(browser, page)


def test_a_narrow_screen_needs_no_scrolling_sideways(run, tmp_path):
    page = report(run, tmp_path / "r.html", exact=False)
    with Browser(width=500, height=800) as browser:
        browser.open(page.as_uri())
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")


def test_text_from_outside_does_nothing(tmp_path, browser):
    path = tmp_path / ATTACK.replace("/", "⁄")
    words = Study.from_words(
        restarts=100, fixed={"k": 9}, grid={"ratio": [1, 2], "init": ["ball", "zero"]}
    )
    sweep_in_process(words, path, FakeRunner(undecided=0.1))
    (path / "units" / (ATTACK.replace("/", "⁄") + ".jsonl")).write_text(ATTACK)
    page = report(path, tmp_path / "r.html", exact=False)
    browser.open(page.as_uri())
    assert "<script>" in browser.value("document.querySelector('h1').textContent")
    assert browser.value("document.scripts.length") == 1
    assert browser.value("[...document.images].every(i => i.src.startsWith('data:'))")
    assert is_quiet(browser, page)


def test_one_cell(tmp_path, browser):
    one = Study.from_words(restarts=50, fixed={"k": 9, "ratio": 2})
    sweep_in_process(one, tmp_path / "a", FakeRunner())
    page = report(tmp_path / "a", tmp_path / "r.html", exact=False)
    browser.open(page.as_uri())
    assert len(column(browser, 0)) == 1
    press(browser, 1)
    assert is_quiet(browser, page)


def test_before_any_unit(tmp_path, browser):
    sweep_in_process(study(), tmp_path / "a", FakeRunner())
    for unit in (tmp_path / "a" / "units").glob("*.jsonl"):
        unit.unlink()
    page = report(tmp_path / "a", tmp_path / "r.html", exact=False)
    browser.open(page.as_uri())
    press(browser, 4)
    assert "–" in column(browser, 4)[0] or column(browser, 4)[0] == "0"
    assert is_quiet(browser, page)


def test_ten_thousand_cells(tmp_path, browser):
    many = Study.from_words(
        restarts=20,
        grid={"k": [400], "ratio": list(range(100)), "step_size": {"linspace": [0.01, 0.1, 100]}},
        fixed={"p": 6},
    )
    sweep_in_process(many, tmp_path / "a", FakeRunner())
    page = report(tmp_path / "a", tmp_path / "r.html", exact=False)
    assert page.stat().st_size < 1000 * 10_000
    browser.open(page.as_uri())
    names = browser.value(
        "[...document.querySelectorAll('table.sortable th')].map(h => h.textContent)"
    )
    place = names.index("P(global)")
    press(browser, place)
    shown = (
        "[...document.querySelectorAll('table.sortable tbody tr')].filter(r => !r.hidden).length"
    )
    assert browser.value(shown) == 500
    browser.click("button.all")
    assert browser.value(shown) == 10_000
    values = np.array(column(browser, place), float)
    assert values.size == 10_000
    assert np.all(np.diff(values) >= 0)
    assert is_quiet(browser, page)
