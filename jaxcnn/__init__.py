"""With what probability does gradient descent reach the global minimum, and how sure are we?

    import jaxcnn
    est = jaxcnn.estimate(jaxcnn.Teacher(k=25, p=6, ratio=4.0), step_size=0.05, restarts=5000)

Names are loaded on first use (PEP 562), so that `import jaxcnn` does not import JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.base.cell import Cell as Cell
    from jaxcnn.base.outcome import Outcome as Outcome
    from jaxcnn.model.teacher import Teacher as Teacher
    from jaxcnn.study.build import Start as Start
    from jaxcnn.study.estimate import Estimate as Estimate
    from jaxcnn.study.estimate import estimate as estimate

__version__ = "0.1.0"

_WHERE = {
    "Cell": "jaxcnn.base.cell",
    "Estimate": "jaxcnn.study.estimate",
    "Outcome": "jaxcnn.base.outcome",
    "Start": "jaxcnn.study.build",
    "Teacher": "jaxcnn.model.teacher",
    "estimate": "jaxcnn.study.estimate",
}

__all__ = [  # noqa: RUF022 - sorted as _WHERE is
    "Cell",
    "Estimate",
    "Outcome",
    "Start",
    "Teacher",
    "estimate",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'jaxcnn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
