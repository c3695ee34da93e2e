"""The restart counts at which a study may stop.

They are fixed, so that no clock and no machine decides what a table holds.

Eight to an octave, from 256 up: 256, 288, 320, …, 480, 512, 576, …. Looking only there costs
at most an eighth more restarts than stopping at the first possible one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_OCTAVE = np.arange(8, 16, dtype=np.int64)
_LEAST = 256


def looks_up_to(cap: int) -> NDArray[np.int64]:
    """All looks below a cap, and the cap itself, ascending."""
    octaves = max(cap.bit_length() - _LEAST.bit_length() + 1, 0)
    ladder = (_LEAST // 8 * _OCTAVE[None, :] << np.arange(octaves)[:, None]).ravel()
    return np.append(ladder[ladder < cap], cap)
