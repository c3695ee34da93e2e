"""Every test runs in double precision, with silent broadcasting between ranks forbidden."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--heavy", action="store_true", help="run the tests marked heavy as well")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--heavy") or "heavy" in config.getoption("-m"):
        return
    skip = pytest.mark.skip(reason="heavy: run with -m heavy or --heavy")
    for item in items:
        if "heavy" in item.keywords:
            item.add_marker(skip)
