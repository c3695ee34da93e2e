"""Every study file that is shipped can be read, and every cell of it can be built."""

from pathlib import Path

import pytest

from jaxcnn.study.build import build
from jaxcnn.study.study_file import read_study

FILES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_ends_of_the_grid_can_be_built(path):
    cells = list(read_study(path).cells)
    for cell in (cells[0], cells[-1]):
        assert build(cell).params is not None


@pytest.mark.heavy
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_all_cells_can_be_built(path):
    for cell in read_study(path).cells:
        assert build(cell).params is not None
