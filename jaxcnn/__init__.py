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
    from jaxcnn.base.errors import JaxcnnError as JaxcnnError
    from jaxcnn.base.outcome import Outcome as Outcome
    from jaxcnn.basin.exact import Exact as Exact
    from jaxcnn.model.landscape import Landscape as Landscape
    from jaxcnn.model.landscape import landscape as landscape
    from jaxcnn.model.teacher import Teacher as Teacher
    from jaxcnn.study.built import Start as Start
    from jaxcnn.study.compare import compare as compare
    from jaxcnn.study.estimate import Estimate as Estimate
    from jaxcnn.study.estimate import estimate as estimate
    from jaxcnn.study.exact import boundary as boundary
    from jaxcnn.study.exact import conditional as conditional
    from jaxcnn.study.exact import exact as exact
    from jaxcnn.study.merge import merge as merge
    from jaxcnn.study.paper import Table1 as Table1
    from jaxcnn.study.paper import table1 as table1
    from jaxcnn.study.run_directory import RunDirectory as RunDirectory
    from jaxcnn.study.run_study import sweep as sweep
    from jaxcnn.study.study import Study as Study
    from jaxcnn.study.trajectory import phases as phases
    from jaxcnn.study.trajectory import steps_to as steps_to
    from jaxcnn.study.trajectory import trajectory as trajectory
    from jaxcnn.view.progress import watched as watched
    from jaxcnn.view.report import report as report

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "Estimate",
    "Exact",
    "JaxcnnError",
    "Landscape",
    "Outcome",
    "RunDirectory",
    "Start",
    "Study",
    "Table1",
    "Teacher",
    "boundary",
    "compare",
    "conditional",
    "estimate",
    "exact",
    "landscape",
    "merge",
    "phases",
    "report",
    "steps_to",
    "sweep",
    "table1",
    "trajectory",
    "watched",
]

_WHERE = {
    "Cell": "jaxcnn.base.cell",
    "Estimate": "jaxcnn.study.estimate",
    "Exact": "jaxcnn.basin.exact",
    "JaxcnnError": "jaxcnn.base.errors",
    "Landscape": "jaxcnn.model.landscape",
    "Outcome": "jaxcnn.base.outcome",
    "RunDirectory": "jaxcnn.study.run_directory",
    "Start": "jaxcnn.study.built",
    "Study": "jaxcnn.study.study",
    "Table1": "jaxcnn.study.paper",
    "Teacher": "jaxcnn.model.teacher",
    "boundary": "jaxcnn.study.exact",
    "compare": "jaxcnn.study.compare",
    "conditional": "jaxcnn.study.exact",
    "estimate": "jaxcnn.study.estimate",
    "exact": "jaxcnn.study.exact",
    "landscape": "jaxcnn.model.landscape",
    "merge": "jaxcnn.study.merge",
    "phases": "jaxcnn.study.trajectory",
    "report": "jaxcnn.view.report",
    "steps_to": "jaxcnn.study.trajectory",
    "sweep": "jaxcnn.study.run_study",
    "table1": "jaxcnn.study.paper",
    "trajectory": "jaxcnn.study.trajectory",
    "watched": "jaxcnn.view.progress",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'jaxcnn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
