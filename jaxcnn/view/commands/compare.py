"""`jaxcnn compare`: paired differences along a key."""

from __future__ import annotations

from pathlib import Path

from jaxcnn.study.compare import compare
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.view.terminal import print_json, print_table, print_text, short


def run(path: Path, *, along: str, json: bool) -> None:
    """Compare and print."""
    opened = RunDirectory.open(path)
    key = along.replace("-", "_")
    rows = compare(opened, key)
    if json:
        print_json({"differences": rows.to_dict("records")})
        return
    names = list(rows.columns[: list(rows.columns).index("restarts")])
    others = [name for name in names if not name.endswith("_next") and f"{name}_next" not in names]
    head = [*others, key, "restarts", "diff", "paired interval", "unpaired"]
    texts = []
    for row in rows.to_dict("records"):
        texts.append(
            [
                *(short(row[name]) for name in others),
                f"{short(row[key])} > {short(row[f'{key}_next'])}",
                short(row["restarts"]),
                f"{row['difference']:+.5f}",
                f"{row['low']:+.5f} {row['high']:+.5f}",
                f"±{0.5 * (row['unpaired_high'] - row['unpaired_low']):.4f}",
            ]
        )
    words = [i for i, name in enumerate(others) if isinstance(rows[name].iloc[0], str)]
    print_table(head, texts, words=words, keys=len(others) + 1)
    if not rows["shared"].all():
        print_text(f"{int((~rows['shared']).sum())} pairs do not share their random numbers")
