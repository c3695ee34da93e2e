import pytest
from matplotlib import pyplot

from jaxcnn.study.sweep import sweep_in_process
from tests.study.fake_runner import FakeRunner, study


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of twelve cells, outcomes from a hash."""
    path = tmp_path_factory.mktemp("runs") / "a"
    sweep_in_process(study(), path, FakeRunner())
    return path
