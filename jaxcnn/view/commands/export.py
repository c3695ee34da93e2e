"""`jaxcnn export`: the table of a run as a file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from jaxcnn.base.errors import InputError
from jaxcnn.study.durable import write_whole
from jaxcnn.view.runs import open_run
from jaxcnn.view.terminal import print_text


def run(path: Path, file: Path) -> None:
    """Write every row and column; the file's ending says how."""
    ending = file.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError("FILE", str(file), "must end in .csv or .parquet")
    if not file.parent.is_dir():
        raise InputError("FILE", str(file), "must be in a directory that exists")
    opened = open_run(path)
    rows = opened.table
    fixed = opened.run.study.cells.fixed
    for place, (key, value) in enumerate(fixed.items()):
        rows.insert(place, key, value)
    content = BytesIO()
    if ending == ".csv":
        rows.to_csv(content, index=False)
    else:
        try:
            rows.to_parquet(content, index=False)
        except ImportError:
            raise InputError("FILE", str(file), "needs: pip install 'jaxcnn[parquet]'") from None
    write_whole(file, content.getvalue())
    print_text(f"written: {file} ({len(rows)} cells)")
