"""Every study file that is shipped can be read, and every cell of it can be built."""

from pathlib import Path

import pytest

from jaxcnn.study.build import build
from jaxcnn.study.study_file import read_study

pytestmark = pytest.mark.heavy


FILES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_cells_can_be_built(path):
    study = read_study(path)
    cells = list(study.cells)
    assert cells
    for cell in cells:
        assert build(cell).params is not None
