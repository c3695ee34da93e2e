"""Every test runs in double precision, with silent broadcasting between ranks forbidden."""

import atexit
import os
import shutil
import signal
import tempfile

import jax
import pytest
from hypothesis import settings

# Processes that tests start share what the first of them has compiled. Not this process:
# some tests here count compilations.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxcnn-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

# The same examples in every run: a failure is the change's, not the day's.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# A shell that starts a job in the background has it ignore Ctrl-C, and what that starts as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
