import json
import re
from html.parser import HTMLParser

import pytest

from jaxcnn.base.errors import InputError, RunError
from jaxcnn.study.study import Study
from jaxcnn.study.sweep import sweep_in_process
from jaxcnn.view.report import report
from jaxcnn.view.runs import open_run
from tests.study.fake_runner import FakeRunner, study


class Page(HTMLParser):
    """Tags that are open, and every attribute."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.rows = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    @classmethod
    def of(cls, text):
        page = cls()
        page.feed(text)
        page.close()
        assert page.open == []
        return page


def test_report_is_whole_and_self_contained(run, tmp_path):
    text = report(run, tmp_path / "r.html", exact=False).read_text()
    page = Page.of(text)
    assert all(link.startswith("data:") for link in page.links)
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    assert page.tags.count("img") == 5
    assert page.tags.count("tr") == 1 + 12 + 2
    for value in open_run(run).table["p_global"]:
        assert f">{value:.4f}" in text
    assert "Complete: nothing is missing" in text


def test_text_is_escaped(tmp_path):
    path = tmp_path / "<script>alert(1)</script>&"
    sweep_in_process(study(), path, FakeRunner())
    text = report(path, tmp_path / "r.html", exact=False).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in text
    Page.of(text)


def test_report_says_what_is_wrong(run, tmp_path):
    path = tmp_path / "a"
    sweep_in_process(study(), path, FakeRunner(undecided=0.2))
    (path / "units" / "<b>.jsonl").write_text("no unit")
    text = report(path, tmp_path / "r.html", exact=False).read_text()
    assert "<h2>Incomplete</h2>" in text
    assert "&lt;b&gt;.jsonl: ignored" in text
    assert "<b>" not in text


def test_report_of_one_cell(tmp_path):
    one = Study.from_words(restarts=50, fixed={"k": 9, "ratio": 2})
    sweep_in_process(one, tmp_path / "a", FakeRunner())
    page = Page.of(report(tmp_path / "a", tmp_path / "r.html").read_text())
    assert page.tags.count("tr") == 1 + 1 + 2


def test_report_before_any_unit(tmp_path):
    from jaxcnn.study.run_directory import RunDirectory

    RunDirectory.create_or_open(tmp_path / "a", study())
    text = report(tmp_path / "a", tmp_path / "r.html", exact=False).read_text()
    assert "No restarts are counted yet" in text
    assert "12 cells: More restarts are needed." in text
    Page.of(text)


@pytest.mark.heavy
def test_report_of_many_cells(tmp_path):
    many = Study.from_words(
        restarts=20,
        fixed={"p": 6},
        grid={"k": [400], "ratio": list(range(100)), "step_size": {"linspace": [0.01, 0.1, 100]}},
    )
    sweep_in_process(many, tmp_path / "a", FakeRunner())
    page = Page.of(report(tmp_path / "a", tmp_path / "r.html", exact=False).read_text())
    assert page.tags.count("tr") == 1 + 10_000 + 2


def test_report_refuses(run, tmp_path):
    with pytest.raises(InputError, match=r"\.html"):
        report(run, tmp_path / "r.txt")
    with pytest.raises(InputError, match="directory that exists"):
        report(run, tmp_path / "no" / "r.html")
    with pytest.raises(RunError):
        report(tmp_path / "none", tmp_path / "r.html")


def test_show_json_is_plain(run):
    from jaxcnn.view.terminal import _finite

    json.dumps(_finite(open_run(run).table.to_dict("records")), allow_nan=False)


def test_report_of_cells_without_a_value(tmp_path):
    """A key that may be none is an axis like others."""
    grid = {"ratio": [1.0, 2.0], "filter_step_size": [None, 0.5], "init_scale": [0.5, 1.0]}
    words = Study.from_words(restarts=100, fixed={"k": 9}, grid=grid)
    sweep_in_process(words, tmp_path / "a", FakeRunner())
    page = Page.of(report(tmp_path / "a", tmp_path / "r.html", exact=False).read_text())
    assert page.tags.count("img") >= 4
