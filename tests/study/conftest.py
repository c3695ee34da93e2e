import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import end_all


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test():
    # A pipe left open by a test that fails here would fail another test, wherever it is collected.
    yield
    end_all()


@contextmanager
def _as_nobody():
    """Permissions do not hold back root, so put it aside."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def read_only():
    """A directory to fill, and a context in which it cannot be written."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)

    @contextmanager
    def locked():
        places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for place in places:
            place.chmod(0o555)
        with _as_nobody():
            yield
        for place in places:
            place.chmod(0o755)

    yield folder, locked
    shutil.rmtree(folder)
