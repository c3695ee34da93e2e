import math

import pytest
from scipy.stats import binom, norm

from jaxcnn.study.paper import PRINTED, RATIOS, difference_in_errors, off_in_errors


def test_printed_numbers_are_all_there():
    assert [len(row) for row in PRINTED.values()] == [len(RATIOS)] * 6


def test_rounding_is_no_difference():
    assert difference_in_errors(3625, 5000, 0.73) == 0.0  # 0.725 rounds to 0.73
    assert difference_in_errors(5000, 5000, 1.0) == 0.0
    assert difference_in_errors(4980, 5000, 1.0) == 0.0


def test_difference_is_about_the_normal_one_far_from_the_ends():
    ours, theirs = 2700, 2475 + 50  # printed 0.50: nearest count 2525
    wide = math.sqrt(2 * (0.5225 * 0.4775) / 5000)
    assert theirs == 2525
    assert difference_in_errors(ours, 5000, 0.50) == pytest.approx((0.54 - 0.505) / wide, rel=0.03)
    assert difference_in_errors(2300, 5000, 0.50) < -3


def test_cells_at_one_use_the_binomial_tail():
    # Exact 1: any failure in the paper is impossible; printed 1.00 is no difference.
    assert off_in_errors(1.0, 1.0) == 0.0
    assert off_in_errors(0.97, 1.0) == -math.inf
    tail = binom(5000, 0.98773).cdf(4875)
    assert off_in_errors(0.97, 0.98773) == pytest.approx(norm.ppf(tail), rel=1e-6)
    assert math.isnan(off_in_errors(0.97, math.nan))
