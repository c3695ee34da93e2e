"""Restart indices as random addresses."""

import jax
import numpy as np
import pytest

from jaxcnn.base.errors import InputError
from jaxcnn.engine.address import WORD, block_key, restart_key, root_key


def words(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_addresses_do_not_wrap_at_a_word():
    root = root_key(7)
    indices = [0, 1, WORD - 1, WORD, WORD + 1, 2 * WORD, 2**40 + 1, 2**62]
    found = {words(restart_key(block_key(root, i), np.uint32(i % WORD))) for i in indices}
    assert len(found) == len(indices)


def test_seeds_keep_all_their_bits_in_either_precision():
    seeds = [0, 1, WORD - 1, WORD, WORD + 1, 2**62]
    wide = [words(root_key(seed)) for seed in seeds]
    with jax.enable_x64(False):
        assert [words(root_key(seed)) for seed in seeds] == wide
    assert len(set(wide)) == len(seeds)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0", None])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(InputError, match="seed"):
        root_key(seed)
