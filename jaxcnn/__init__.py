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
    from jaxcnn.base.counts import Counts as Counts
    from jaxcnn.base.interval import Interval as Interval
    from jaxcnn.base.outcome import Outcome as Outcome
    from jaxcnn.basin.exact import Exact as Exact
    from jaxcnn.engine.dynamics import Dynamics as Dynamics
    from jaxcnn.model.landscape import landscape as landscape
    from jaxcnn.model.teacher import Teacher as Teacher
    from jaxcnn.study.build import Start as Start
    from jaxcnn.study.estimate import Estimate as Estimate
    from jaxcnn.study.estimate import estimate as estimate
    from jaxcnn.study.exact import exact as exact
    from jaxcnn.study.merge import merge as merge
    from jaxcnn.study.paper import table1 as table1
    from jaxcnn.study.run_study import sweep as sweep
    from jaxcnn.study.trajectory import phases as phases
    from jaxcnn.study.trajectory import steps_to as steps_to
    from jaxcnn.study.trajectory import trajectory as trajectory

__version__ = "0.1.0"

_WHERE = {
    "Cell": "jaxcnn.base.cell",
    "Counts": "jaxcnn.base.counts",
    "Dynamics": "jaxcnn.engine.dynamics",
    "Estimate": "jaxcnn.study.estimate",
    "Exact": "jaxcnn.basin.exact",
    "Interval": "jaxcnn.base.interval",
    "Outcome": "jaxcnn.base.outcome",
    "Start": "jaxcnn.study.build",
    "Teacher": "jaxcnn.model.teacher",
    "estimate": "jaxcnn.study.estimate",
    "exact": "jaxcnn.study.exact",
    "landscape": "jaxcnn.model.landscape",
    "merge": "jaxcnn.study.merge",
    "phases": "jaxcnn.study.trajectory",
    "steps_to": "jaxcnn.study.trajectory",
    "sweep": "jaxcnn.study.run_study",
    "table1": "jaxcnn.study.paper",
    "trajectory": "jaxcnn.study.trajectory",
}

__all__ = [
    "Cell",
    "Counts",
    "Dynamics",
    "Estimate",
    "Exact",
    "Interval",
    "Outcome",
    "Start",
    "Teacher",
    "estimate",
    "exact",
    "landscape",
    "merge",
    "phases",
    "steps_to",
    "sweep",
    "table1",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'jaxcnn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
