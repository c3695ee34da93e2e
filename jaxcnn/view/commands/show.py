"""`jaxcnn show`: the table of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxcnn.view.progress import watched
from jaxcnn.view.runs import RunTable, open_run
from jaxcnn.view.terminal import digits_for, print_json, print_table, print_text, probability, short

_MOST_ROWS = 200


def run(path: Path, *, exact: bool, json: bool) -> None:
    """Print the table, all of it as JSON, or what fits a screen."""
    with watched("exact") as watcher:
        opened = open_run(path, exact=exact, progress=watcher)
    if json:
        print_json({"cells": opened.table.to_dict("records"), "problems": opened.run.problems()})
    else:
        print_run(opened)


def print_run(opened: RunTable) -> None:
    """Print a run: a row a cell, then what is incomplete and what is wrong."""
    rows = opened.table
    decided = np.ptp(rows["complete"]) == 0 and float(rows["complete"].iloc[0]) == 1.0
    head = [*opened.keys, "restarts", "P(global)", "interval"]
    head += ["exact"] if "exact" in rows else []
    shown = {"other": "other", "diverged": "div.", "undecided": "undec."}
    shown = {name: word for name, word in shown.items() if rows[name].any()}
    head += list(shown.values())
    asked = opened.run.study.decision is not None
    head += ["answer"] if asked else []
    head += [] if decided else ["done"]
    texts = []
    for row in rows.head(_MOST_ROWS).to_dict("records"):
        digits = digits_for(row["high"] - row["low"])
        text = [short(row[key]) for key in opened.keys]
        text += [short(row["restarts"]), probability(row["p_global"], digits)]
        text.append(f"{probability(row['low'], digits)}-{probability(row['high'], digits)}")
        if "exact" in rows:
            text.append(probability(row["exact"], digits + 1))
        text += [str(row[name]) for name in shown]
        if asked:
            text.append("-" if row["standing"] == "enough" else row["standing"])
        if not decided:
            text.append(f"{row['complete']:.0%}")
        texts.append(text)
    words = [
        i
        for i, key in enumerate(opened.keys)
        if rows[key].dtype == object or rows[key].dtype == "str"
    ]
    words += [head.index("answer")] if asked else []
    print_table(head, texts, words=words, keys=len(opened.keys))
    if len(rows) > _MOST_ROWS:
        print_text(f"... and {len(rows) - _MOST_ROWS} cells more: `jaxcnn export` writes them all")
    study = opened.run.study
    total = int(rows["restarts"].sum())
    print_text(
        f"{opened.run.path}: {opened.complete} of {len(rows)} cells complete, {total} restarts, "
        f"intervals at {100 * study.confidence:g} %"
    )
    for standing, sentence in (
        ("hidden", "are hidden by undecided runs: raise max_steps"),
        ("capped", "have max_restarts without an answer"),
    ):
        count = int((rows["standing"] == standing).sum())
        if count:
            print_text(f"{count} cells {sentence}")
    for reason, count in opened.without_exact.items():
        print_text(f"no exact value in {count} cells: {reason}")
    for problem in opened.run.problems():
        print_text(f"problem: {problem}")
