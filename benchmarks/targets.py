"""Every target against what the other parts found, met or missed; it measures nothing itself.

    python -m benchmarks targets

Reads the JSON file, so a target whose part was not run says so.
"""

from __future__ import annotations


def number(row, key) -> float:
    """A column of a row as a number."""
    return float(str(row[key]).rstrip("%x"))


def lines(out):
    """(target, wanted, found or None, met)."""
    grid = {r[""]: r for r in out.rows("peers", "peers: P(global)")}
    for form, least in (("10 000 steps", 1000), ("settled", 50)):
        for name in ("NumPy, by hand", "PyTorch autograd", "JAX vmap(grad)"):
            row = grid.get(f"{name}, {form}")
            found = None if row is None else number(row, "x jaxcnn")
            yield f"Table 1 grid against {name}, {form}", f">= {least} x", found, least, True
    for row in out.rows("full"):
        least = 5 if row["k,p"] in ("25,6", "25,20", "100,20") else 1
        name = f"full state against vmap(grad) at ({row['k,p']})"
        yield name, f">= {least} x", number(row, "ratio"), least, True
    for row in out.rows("reduced", "reduced: restart-steps"):
        if row[""].startswith("engine"):
            name = f"reduced engine against the C kernel, {row['']}"
            yield name, ">= 0.35", number(row, "of C"), 0.35, True
    cost = [
        number(row, "us")
        for row in out.rows("growth", "growth: processor")
        if row["restarts"] != "slope"
    ]
    change = max(abs(each / cost[0] - 1) for each in cost) if cost else None
    yield "cost per restart, from 10^5 to 10^7: most change", "<= 0.10", change, 0.10, False
    both = [r for r in out.rows("startup") if r.get("import") == "jaxcnn and jax"]
    yield (
        "import jaxcnn over import jax, s",
        "<= 0.15",
        both[0]["less jax"] if both else None,
        0.15,
        False,
    )
    whole = out.rows("lanes", "lanes: Table 1, 1 000 000 restarts a cell, in one")
    found = number(whole[0], "utilisation") if whole else None
    yield "utilisation over Table 1, 10^6 a cell", ">= 0.9", found, 0.9, True
    for row in out.rows("studies", "studies: seconds for 1000 cells"):
        name = f"sweep over the bare engine, {row['restarts a cell']} restarts a cell"
        yield name, "<= 1.3", number(row, "ratio"), 1.3, False
    for row in out.rows("studies", "studies: 8 cells"):
        if row[""].startswith("two workers"):
            yield (
                "two workers over one, a core each",
                ">= 1.7",
                number(row, "times as fast"),
                1.7,
                True,
            )


def main(out):
    rows = []
    for name, wanted, found, bound, more in lines(out):
        if found is None:
            rows.append((name, wanted, "-", "not run"))
        else:
            met = found >= bound if more else found <= bound
            rows.append((name, wanted, found, "met" if met else "MISSED"))
    out.table(
        "targets: on this machine, each ratio from one run", ("", "wanted", "found", ""), rows
    )
