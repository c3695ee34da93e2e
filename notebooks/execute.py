"""Execute the notebooks: `python notebooks/execute.py [NAME …] [--small]`.

Without options every notebook is run in place and keeps its outputs, as committed. With
`--small` nothing is written and `JAXCNN_RESTARTS` makes every estimate small: what the tests do.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SMALL = "2000"


def execute(path: Path, *, small: bool) -> None:
    """Run one notebook; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    previous = os.environ.get("JAXCNN_RESTARTS")
    if small:
        os.environ["JAXCNN_RESTARTS"] = SMALL
    try:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    finally:
        if previous is None:
            os.environ.pop("JAXCNN_RESTARTS", None)
        else:
            os.environ["JAXCNN_RESTARTS"] = previous
    if not small:
        for cell in notebook.cells:
            # Run times would change the file at every execution.
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)


def main() -> None:
    """Run the named notebooks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    for path in sorted(HERE.glob("*.ipynb")):
        if not options.names or path.stem in options.names:
            print(path.name, flush=True)
            execute(path, small=options.small)


if __name__ == "__main__":
    main()
