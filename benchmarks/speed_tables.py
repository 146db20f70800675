"""The tables of the page on speed, from what `speed.py` measured."""

from typing import Any

from report import table


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The tables of the page, by name; those of parts that have been measured."""
    return {
        f"speed: {name}": make(*(found[part] for part in parts))
        for name, (make, *parts) in TABLES.items()
        if found.keys() >= set(parts)
    }


def _precisions(found: dict[str, Any]) -> list[str]:
    """Those that the processor has natively."""
    return [name for name in ("float32", "bfloat16") if all(name in row for row in found.values())]


def _loop(found: dict[str, Any]) -> str:
    names = _precisions(found)
    rows = []
    for model, row in found.items():
        rates = [f"{row[name]:,.0f}" for name in ("tutorial", *names)]
        rows.append([model, *rates, *(f"**{row[name] / row['tutorial']:.1f}**" for name in names)])
    ours = [f"this loop in {name}" for name in names]
    return table(("model", "tutorial's loop", *ours, *(f"ratio in {name}" for name in names)), rows)


def _bare(found: dict[str, Any]) -> str:
    rows = []
    for model, row in found.items():
        for name in _precisions(found):
            bare = row[f"{name}_bare"]
            rows.append([model, name, f"{bare:,.0f}", f"{row[name] / bare:.0%}", f"{bare / row['tutorial']:.1f}"])
    return table(("model", "precision", "images/s of a loop that does nothing", "this loop reaches", "its ratio"), rows)


def _waiting(found: dict[str, Any]) -> str:
    spins = next(iter(found.values()))
    rows = [(f"`{spin}`", *(f"{row[spin]:,.0f}" for row in found.values())) for spin in spins]
    return table(("GOMP_SPINCOUNT", *(f"{model}, images/s" for model in found)), rows)


def _to_99(found: dict[str, Any]) -> str:
    rows = [
        ("PyTorch's MNIST example", f"{found['example']:.0f}", str(found["runs_of_example"])),
        ("LeNet, the fast recipe", f"{found['pipeline']:.1f}", str(found["runs_of_pipeline"])),
        ("ratio", f"**{found['ratio']:.0f}**", ""),
    ]
    return table(("", "seconds to 99 %", "runs"), rows)


def _growth(found: dict[str, Any]) -> str:
    rows = []
    for model, sizes in found.items():
        for size, row in sizes.items():
            memory = [f"{row[name] / 2**20:,.0f} MiB" for name in ("peak_bytes", "data_bytes")]
            per_image = 1e6 * row["seconds"] / int(size)
            rows.append([model, f"{int(size):,}", f"{row['seconds']:.2f}", f"{per_image:.0f}", *memory])
    columns = ("model", "images", "seconds an epoch", "microseconds an image", "most memory", "of it images and labels")
    return table(columns, rows)


def _tracking(found: dict[str, Any], whole: dict[str, Any]) -> str:
    """What MLflow costs is nearly all at the beginning and the end, so it is compared to a training of all epochs."""
    seconds = {row["stage"]: row["seconds"] - row["tracking"] for row in whole["stages"]}
    (epochs,) = {row["epochs"] for row in found.values()}
    rows = []
    for model, row in found.items():
        costs = row["on"] - row["off"]
        share = f"**{costs / seconds[f'train {model}']:.1%}**"
        rows.append([model, f"{row['off']:.1f}", f"{row['on']:.1f}", f"{costs:.1f}", share])
    columns = ("model", f"{epochs} epochs without", "with MLflow", "difference", "of a training of all epochs")
    return table(columns, rows)


def _pipeline(whole: dict[str, Any]) -> str:
    parts = ("startup", "work", "tracking")
    rows = [(row["stage"], *(f"{row[part]:.1f}" for part in (*parts, "seconds"))) for row in whole["stages"]]
    dvc = whole["seconds"] - sum(row["seconds"] for row in whole["stages"])
    totals = [sum(row[part] for row in whole["stages"]) for part in parts]
    totals[0] += dvc
    rows.append(("DVC itself", f"{dvc:.1f}", "", "", f"{dvc:.1f}"))
    rows.append(("all", *(f"{total:.1f}" for total in totals), f"{whole['seconds']:.1f}"))
    rows.append(("share", *(f"{total / whole['seconds']:.0%}" for total in totals), ""))
    return table(("", "start-up", "work", "MLflow", "in all"), rows)


def _conditions(found: dict[str, Any]) -> str:
    return (
        f"{found['threads']} threads on {found['processor']} with {found['instructions']}, Python {found['python']}, "
        f"torch {found['torch']}, mlflow {found['mlflow']}."
    )


TABLES: dict[str, tuple[Any, ...]] = {
    "loop": (_loop, "loop"),
    "bare": (_bare, "loop"),
    "waiting": (_waiting, "waiting"),
    "to 99": (_to_99, "to_99"),
    "growth": (_growth, "growth"),
    "tracking": (_tracking, "tracking", "pipeline"),
    "pipeline": (_pipeline, "pipeline"),
    "conditions": (_conditions, "conditions"),
}
"""Each table, and the measurements that it shows."""
