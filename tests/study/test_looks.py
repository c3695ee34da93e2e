import numpy as np
import pytest

from jaxcnn.study.looks import looks_up_to


def test_the_ladder_is_fixed():
    assert looks_up_to(600).tolist() == [256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 600]
    assert looks_up_to(512).tolist() == [256, 288, 320, 352, 384, 416, 448, 480, 512]
    assert looks_up_to(7).tolist() == [7]


@pytest.mark.parametrize("cap", [1, 255, 256, 257, 1000, 2**16 + 1, 10**7, 2**40])
def test_looks_end_at_the_cap_and_rise_by_at_most_an_eighth(cap):
    looks = looks_up_to(cap)
    assert looks[-1] == cap
    assert np.all(np.diff(looks) > 0)
    assert np.all(looks[1:] <= looks[:-1] * 9 / 8)
    assert looks.size <= 260
    longer = looks_up_to(2 * cap)
    assert set(looks[:-1]) <= set(longer)
