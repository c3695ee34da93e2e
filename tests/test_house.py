"""The rules of the house: who imports whom, what things are called, what is public."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import jaxcnn

ROOT = Path(jaxcnn.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ORDER = ("base", "model", "engine", "descent", "basin", "study", "view")
STRANGERS = {("engine", "model")}
"""Rooms that stand side by side: the later may not import the earlier either."""
BANNED = {"util", "utils", "helper", "helpers", "misc", "common", "manager", "stuff"}


def imports(path):
    """Every `jaxcnn` module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "jaxcnn":
                names = [f"jaxcnn.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "jaxcnn")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_before_it(path):
    room = path.relative_to(ROOT).parts[0]
    if room.endswith(".py"):  # the package itself
        return
    for name in imports(path):
        parts = name.split(".")
        if len(parts) < 2 or parts[1] not in ORDER:
            continue
        assert ORDER.index(parts[1]) <= ORDER.index(room), f"{room} imports {name}"
        assert (room, parts[1]) not in STRANGERS, f"{room} imports {name}"


def test_every_room_is_in_the_order():
    rooms = {
        path.relative_to(ROOT).parts[0] for path in FILES if len(path.relative_to(ROOT).parts) > 1
    }
    assert rooms <= set(ORDER)


def test_base_knows_no_jax():
    for path in (ROOT / "base").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] in ("jax", "jaxlib", "optax") for n in names), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_or_file_is_a_drawer(path):
    words = set()
    for part in path.relative_to(ROOT).with_suffix("").parts:
        words |= set(part.split("_"))
    assert not words & BANNED


def test_the_public_surface():
    names = jaxcnn.__all__
    assert len(names) <= 25
    assert list(names) == sorted(names)
    assert all(getattr(jaxcnn, name) is not None for name in names)
    assert set(names) <= set(dir(jaxcnn))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jaxcnn.no_such_name


def fresh(program):
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_jax_keeps_its_settings():
    """Importing and calling, in both precisions, leaves every setting as it was."""
    fresh(
        """
        import jax
        def settings():
            return {k: repr(v) for k, v in jax.config.values.items()}
        before = settings()
        import jaxcnn
        cell = jaxcnn.Cell(k=3, ratio=1.0, step_size=0.3)
        jaxcnn.estimate(cell, restarts=20)
        jaxcnn.estimate(cell, restarts=20, dtype="float64")
        jaxcnn.exact(cell, tolerance=1e-3)
        for name in jaxcnn.__all__:
            getattr(jaxcnn, name)
        assert settings() == before
        assert str(jax.numpy.ones(2).dtype) == "float32"
        """
    )


def test_importing_the_package_does_not_import_jax():
    fresh("import sys, jaxcnn; dir(jaxcnn); assert 'jax' not in sys.modules")
