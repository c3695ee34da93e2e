"""The public names: short, sorted, all there, and cheap to import."""

import subprocess
import sys

import jaxcnn


def test_names_are_few_sorted_and_there():
    assert jaxcnn.__all__ == sorted(jaxcnn.__all__)
    assert len(jaxcnn.__all__) <= 25
    assert dir(jaxcnn) == jaxcnn.__all__
    for name in jaxcnn.__all__:
        assert getattr(jaxcnn, name).__doc__


def test_import_is_cheap():
    code = "import sys, jaxcnn; print(any(m in sys.modules for m in ('jax', 'numpy', 'pandas')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
