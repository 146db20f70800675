"""The tables of the page on speed, from what `speed.py` measured."""

from collections.abc import Callable
from typing import Any

from report import table


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The tables of the page, by name; those of parts that have been measured."""
    made: dict[str, Callable[..., str]] = {
        "loop": _loop_table,
        "bare": _bare_table,
        "peak": _peak_table,
        "waiting": _waiting_table,
        "operations": _operations_table,
        "compiled": _compiled_table,
        "to 99": _to_99_table,
        "growth": _growth_table,
        "tracking": _tracking_table,
        "pipeline": _pipeline_table,
        "conditions": _conditions,
    }
    needed = {"bare": ["loop"], "peak": ["loop"], "to 99": ["to_99"], "tracking": ["tracking", "pipeline"]}
    parts = {name: needed.get(name, [name]) for name in made}
    return {
        f"speed: {name}": make(*(found[part] for part in parts[name]))
        for name, make in made.items()
        if found.keys() >= set(parts[name])
    }


def _loop_table(found: dict[str, Any]) -> str:
    precisions = _precisions(found)
    rows = [
        (
            model,
            *(f"{row[name]:,.0f}" for name in ("tutorial", *precisions)),
            *(f"**{row[name] / row['tutorial']:.1f}**" for name in precisions),
        )
        for model, row in found.items()
    ]
    ours = [f"this loop in {name}" for name in precisions]
    return table(("model", "tutorial's loop", *ours, *(f"ratio in {name}" for name in precisions)), rows)


def _bare_table(found: dict[str, Any]) -> str:
    rows = [
        (
            model,
            precision,
            f"{row[f'{precision}_bare']:,.0f}",
            f"{row[precision] / row[f'{precision}_bare']:.0%}",
            f"{row[f'{precision}_bare'] / row['tutorial']:.1f}",
        )
        for model, row in found.items()
        for precision in _precisions(found)
    ]
    return table(("model", "precision", "images/s of a loop that does nothing", "this loop reaches", "its ratio"), rows)


def _peak_table(found: dict[str, Any]) -> str:
    """What the step's multiplications alone would take at the rate of a large matrix product."""
    precisions = _precisions(found)
    rows = []
    for model, row in found.items():
        peaks = [row[f"{name}_peak"] for name in precisions]
        reached = [row["operations"] * row[name] / peak for name, peak in zip(precisions, peaks, strict=True)]
        products = [f"{peak / 1e9:.0f} billion/s" for peak in peaks]
        shares = [f"{share:.0%}" for share in reached]
        rows.append((model, f"{row['operations'] / 1e6:.2f} million", *products, *shares))
    products = [f"matrix product in {name}" for name in precisions]
    return table(("model", "operations per image", *products, *(f"reached in {name}" for name in precisions)), rows)


def _precisions(found: dict[str, Any]) -> list[str]:
    """Those that the processor has natively."""
    return [name for name in ("float32", "bfloat16") if all(name in row for row in found.values())]


def _waiting_table(found: dict[str, Any]) -> str:
    spins = next(iter(found.values()))
    rows = [(f"`{spin}`", *(f"{row[spin]:,.0f}" for row in found.values())) for spin in spins]
    return table(("GOMP_SPINCOUNT", *(f"{model}, images/s" for model in found)), rows)


def _operations_table(found: dict[str, Any]) -> str:
    kinds = next(iter(found.values()))
    rows = [(kind, *(f"{row[kind]:.0%}" for row in found.values())) for kind in kinds]
    return table(("", *found), rows)


def _compiled_table(found: dict[str, Any]) -> str:
    rows = [(model, f"{row['plain']:.1f}", f"{row['compiled']:.1f}") for model, row in found.items()]
    return table(("model", "milliseconds a step", "with torch.compile"), rows)


def _to_99_table(found: dict[str, Any]) -> str:
    rows = [
        ("PyTorch's MNIST example", f"{found['example']:.0f}", str(found["runs_of_example"])),
        ("LeNet, the fast recipe", f"{found['pipeline']:.1f}", str(found["runs_of_pipeline"])),
        ("ratio", f"**{found['ratio']:.0f}**", ""),
    ]
    return table(("", "seconds to 99 %", "runs"), rows)


def _growth_table(found: dict[str, Any]) -> str:
    rows = [
        (
            model,
            f"{int(size):,}",
            f"{row['seconds']:.2f}",
            f"{1e6 * row['seconds'] / int(size):.0f}",
            f"{row['peak_bytes'] / 2**20:,.0f} MiB",
            f"{row['data_bytes'] / 2**20:,.0f} MiB",
        )
        for model, sizes in found.items()
        for size, row in sizes.items()
    ]
    columns = ("model", "images", "seconds an epoch", "microseconds an image", "most memory", "of it images and labels")
    return table(columns, rows)


def _conditions(found: dict[str, Any]) -> str:
    return (
        f"{found['threads']} threads on {found['processor']} with {found['instructions']}, Python {found['python']}, "
        f"torch {found['torch']}, mlflow {found['mlflow']}."
    )


def _tracking_table(found: dict[str, Any], whole: dict[str, Any]) -> str:
    """What MLflow costs is nearly all at the beginning and the end, so it is compared to a training of all epochs."""
    seconds = {row["stage"]: row["seconds"] - row["tracking"] for row in whole["stages"]}
    (epochs,) = {row["epochs"] for row in found.values()}
    rows = [
        (
            model,
            f"{row['off']:.1f}",
            f"{row['on']:.1f}",
            f"{row['on'] - row['off']:.1f}",
            f"**{(row['on'] - row['off']) / seconds[f'train {model}']:.1%}**",
        )
        for model, row in found.items()
    ]
    columns = ("model", f"{epochs} epochs without", "with MLflow", "difference", "of a training of all epochs")
    return table(columns, rows)


def _pipeline_table(whole: dict[str, Any]) -> str:
    parts = ("startup", "work", "tracking")
    rows = [(row["stage"], *(f"{row[part]:.1f}" for part in (*parts, "seconds"))) for row in whole["stages"]]
    totals = [sum(row[part] for row in whole["stages"]) for part in parts]
    dvc = whole["seconds"] - sum(row["seconds"] for row in whole["stages"])
    rows.append(("DVC itself", f"{dvc:.1f}", "", "", f"{dvc:.1f}"))
    totals[0] += dvc
    rows.append(("all", *(f"{total:.1f}" for total in totals), f"{whole['seconds']:.1f}"))
    rows.append(("share", *(f"{total / whole['seconds']:.0%}" for total in totals), ""))
    return table(("", "start-up", "work", "MLflow", "in all"), rows)
