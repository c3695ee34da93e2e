"""The command line `jaxcnn`: a thin shell over the package.

Commands are declared here and done in `view/commands/`, which is imported only when a command
runs, so that `--help` does not wait for JAX. `view/process.py` runs it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxcnn import __version__
from jaxcnn.view.options import (
    NOT_P,
    TEACHER,
    Confidence,
    Engine,
    Json,
    NoConfidence,
    Out,
    Restarts,
    Seed,
    Words,
    out_option,
    path_argument,
    real_number,
    whole_number,
    whole_numbers,
    with_cell_options,
)

_DOES = {
    "table1": "jaxcnn.view.commands.table1",
    "estimate": "jaxcnn.view.commands.estimate",
    "exact": "jaxcnn.view.commands.exact",
    "trajectory": "jaxcnn.view.commands.trajectory",
    "landscape": "jaxcnn.view.commands.landscape",
    "basin": "jaxcnn.view.commands.basin",
    "sweep": "jaxcnn.view.commands.sweep",
    "show": "jaxcnn.view.commands.show",
    "merge": "jaxcnn.view.commands.merge",
    "export": "jaxcnn.view.commands.export",
    "verify": "jaxcnn.view.commands.verify",
    "compare": "jaxcnn.view.commands.compare",
    "plot": "jaxcnn.view.commands.plot",
    "report": "jaxcnn.view.commands.report",
}
"""Where each command is done: `run` of that module."""

app = typer.Typer(
    name="jaxcnn",
    help="With what probability does gradient descent reach the global minimum?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
)

_ONE, _MANY = "One question", "Studies"
Run = Annotated[Path, path_argument("RUN", "run directory")]


def _do(command: str, *args: Any, **options: Any) -> None:
    importlib.import_module(_DOES[command]).run(*args, **options)


def _version(asked: bool) -> None:
    if asked:
        print(f"jaxcnn {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=_ONE)
def table1(
    restarts: Restarts = 5000,
    teacher_norm: Annotated[
        float, typer.Option(parser=real_number, metavar="FLOAT", help="|w*| |a*|; not in the paper")
    ] = 0.55,
    step_size: Annotated[
        float, typer.Option(parser=real_number, metavar="FLOAT", help="step size eta")
    ] = 0.05,
    seed: Seed = 0,
    confidence: Confidence = 0.95,
    engine: Engine = "auto",
    exact: Annotated[bool, typer.Option(help="add the exact probabilities")] = True,
    out: Annotated[Path | None, out_option("DIR", "write a CSV and a figure there")] = None,
    json: Json = False,
) -> None:
    """Table 1 of Du et al. (2018) beside the paper's numbers, with intervals."""
    _do(
        "table1",
        restarts=restarts,
        teacher_norm=teacher_norm,
        step_size=step_size,
        seed=seed,
        confidence=confidence,
        engine=engine,
        exact=exact,
        out=out,
        json=json,
    )


@app.command(rich_help_panel=_ONE)
@with_cell_options()
def estimate(
    cell: Words,
    restarts: Restarts = 5000,
    seed: Seed = 0,
    confidence: Confidence = 0.95,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Success probability of one cell by Monte Carlo, with an honest interval."""
    _do(
        "estimate",
        cell,
        restarts=restarts,
        seed=seed,
        confidence=confidence,
        engine=engine,
        json=json,
    )


@app.command(rich_help_panel=_ONE)
@with_cell_options(NOT_P)
def exact(
    cell: Words,
    p: Annotated[
        Any,
        typer.Option(
            parser=whole_numbers,
            metavar="INTEGER[,...]",
            help="patch size, or several: one threshold map serves them all",
            rich_help_panel="Teacher",
        ),
    ] = "6",
    tolerance: Annotated[
        float, typer.Option(parser=real_number, metavar="FLOAT", help="absolute error asked for")
    ] = 1e-10,
    draws: Annotated[
        int,
        typer.Option(
            parser=whole_number,
            metavar="INTEGER",
            help="instead: P(spurious) by this many draws, the start angle integrated exactly",
        ),
    ] = 0,
    seed: Seed = 0,
    confidence: Confidence = 0.95,
    json: Json = False,
) -> None:
    """Exact success probability of one cell, by quadrature over the basin boundary."""
    _do(
        "exact",
        cell,
        p=p,
        tolerance=tolerance,
        draws=draws,
        seed=seed,
        confidence=confidence,
        json=json,
    )


@app.command(rich_help_panel=_ONE)
@with_cell_options()
def trajectory(
    cell: Words,
    seed: Seed = 0,
    restart: Annotated[
        int, typer.Option(parser=whole_number, metavar="INTEGER", help="index of the restart")
    ] = 0,
    steps: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="INTEGER", help="length; default: to the end"),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="INTEGER", help="steps between two rows"),
    ] = None,
    sharpness: Annotated[
        bool, typer.Option("--sharpness", help="add the largest Hessian eigenvalue")
    ] = False,
    out: Annotated[Path | None, out_option("FILE.csv|.png", "file to write")] = None,
    confidence: NoConfidence = 0.95,
) -> None:
    """One run step by step: loss, angle, a, and the two phases in it."""
    _do(
        "trajectory",
        cell,
        seed=seed,
        restart=restart,
        steps=steps,
        every=every,
        sharpness=sharpness,
        out=out,
    )


@app.command(rich_help_panel=_ONE)
@with_cell_options(TEACHER)
def landscape(cell: Words, out: Out = None, json: Json = False) -> None:
    """Critical points of the loss: where they are, what attracts and what does not."""
    _do("landscape", cell, out=out, json=json)


@app.command(rich_help_panel=_ONE)
@with_cell_options()
def basin(
    cell: Words,
    seed: Seed = 0,
    runs: Annotated[
        int, typer.Option(parser=whole_number, metavar="INTEGER", help="sample trajectories")
    ] = 8,
    out: Annotated[Path, out_option("FILE", "figure to write (.png, .pdf, .svg)")] = Path(
        "basin.png"
    ),
    confidence: NoConfidence = 0.95,
) -> None:
    """Map of the basins in (angle, a'a*), with separatrix, edge state and sample runs."""
    _do("basin", cell, seed=seed, runs=runs, out=out)


@app.command(rich_help_panel=_MANY)
def sweep(
    study: Annotated[Path, path_argument("STUDY.toml", "study file")],
    out: Annotated[Path, out_option("RUN", "run directory")],
    workers: Annotated[
        int, typer.Option(parser=whole_number, metavar="INTEGER", help="local processes")
    ] = 1,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="compute the i-th of n parts, i from 0")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="address of a Dask scheduler")
    ] = None,
) -> None:
    """Run a study; the same command again resumes or extends it."""
    _do("sweep", study, out=out, workers=workers, shard=shard, dask=dask)


@app.command(rich_help_panel=_MANY)
def show(
    run: Run,
    exact: Annotated[bool, typer.Option("--exact", help="add the exact probabilities")] = False,
    json: Json = False,
) -> None:
    """Table of a run, with intervals and completeness."""
    _do("show", run, exact=exact, json=json)


@app.command(rich_help_panel=_MANY)
def merge(
    runs: Annotated[list[Path], path_argument("RUN...", "run directories")],
    out: Annotated[Path, out_option("RUN", "new run directory")],
) -> None:
    """Merge runs of one study into a new run directory."""
    _do("merge", runs, out=out)


@app.command(rich_help_panel=_MANY)
def export(
    run: Run,
    file: Annotated[Path, path_argument("FILE.parquet|.csv", "file to write")],
) -> None:
    """Write the table of a run to a file."""
    _do("export", run, file)


@app.command(rich_help_panel=_MANY)
def verify(
    run: Run,
    fraction: Annotated[
        float, typer.Option(parser=real_number, metavar="FLOAT", help="share of the units")
    ] = 0.01,
    seed: Annotated[
        int, typer.Option(parser=whole_number, metavar="INTEGER", help="which units are taken")
    ] = 0,
) -> None:
    """Compute random units again and compare every restart."""
    _do("verify", run, fraction=fraction, seed=seed)


@app.command(rich_help_panel=_MANY)
def compare(
    run: Run,
    along: Annotated[str, typer.Option(metavar="KEY", help="key that varies")],
    json: Json = False,
) -> None:
    """Differences along a key, with paired intervals."""
    _do("compare", run, along=along, json=json)


@app.command(rich_help_panel=_MANY)
def plot(
    run: Run,
    out: Annotated[Path, out_option("FILE", "figure to write")],
    x: Annotated[str | None, typer.Option(metavar="KEY", help="key on the horizontal axis")] = None,
    by: Annotated[
        str | None, typer.Option(metavar="KEY", help="a line, or a row of a heat map, for each")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="lines or heat (success probability), restarts (needed), width (of intervals), "
            "steps (to the outcome)",
            autocompletion=lambda: ["lines", "heat", "restarts", "width", "steps"],
        ),
    ] = "lines",
    at: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="keep cells with this value")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="add the exact probabilities")] = False,
) -> None:
    """Figure of a run: success probability over a key."""
    _do("plot", run, out=out, x=x, by=by, kind=kind, at=at or [], exact=exact)


@app.command(rich_help_panel=_MANY)
def report(
    run: Run,
    out: Annotated[Path, out_option("FILE.html", "file to write")] = Path("report.html"),
    exact: Annotated[bool, typer.Option(help="add the exact probabilities")] = True,
) -> None:
    """One self-contained HTML page of a run."""
    _do("report", run, out=out, exact=exact)


for _command in app.registered_commands:
    # A list of commands in plain text would cut the first sentence of a longer one.
    _command.short_help = inspect.getdoc(_command.callback)
