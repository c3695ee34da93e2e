"""Execute the notebooks: `python notebooks/execute.py [NAME …] [--small DIRECTORY]`.

Without options every notebook is run in place and keeps its outputs, as committed. With
`--small` the results go to a directory and `JAXCNN_RESTARTS` makes every estimate small: what
the tests do.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SMALL = "2000"


def execute(path: Path, target: Path) -> None:
    """Run one notebook and write it to a file; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        # Run times would change the file at every execution.
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, target)


def main() -> None:
    """Run the named notebooks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--small", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    if options.small:
        os.environ["JAXCNN_RESTARTS"] = SMALL
    for path in sorted(HERE.glob("*.ipynb")):
        if not options.names or path.stem in options.names:
            print(path.name, flush=True)
            execute(path, options.small / path.name if options.small else path)


if __name__ == "__main__":
    main()
