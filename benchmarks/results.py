"""The results of the run that `dvc.lock` records, for the tables of README.md and docs.

    python benchmarks/results.py

reads the reports that `make repro` or `dvc pull` left, and writes `benchmarks/results/results.json`, which remembers
their MD5 too, and the tables; with `tables`, the tables alone.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import table, write_in_pages

RESULTS = Path(__file__).parent / "results/results.json"
NAMES = {"lenet": "LeNet", "mlp": "MLP"}
KINDS = {
    "fashion_mnist": "`fashion_mnist`: garments",
    "uniform_noise": "`uniform_noise`",
    "shuffled_pixels": "`shuffled_pixels` of the test images",
    "blank": "`blank`: one image of each grey level",
}


def main() -> None:
    if sys.argv[1:] != ["tables"]:
        RESULTS.write_text(json.dumps(read(), indent=2, sort_keys=True) + "\n")
    write_in_pages(tables(json.loads(RESULTS.read_text())))


def read() -> dict[str, Any]:
    """What the reports of both models say, and the MD5 of each by its path, as `dvc.lock` has it."""
    from mnist_pipeline import paths
    from mnist_pipeline.files import file_digest, read_json

    found: dict[str, Any] = {"md5": {}, "models": {}}
    for model in NAMES:
        found["models"][model] = {}
        for stage in ("train", "evaluate", "export"):
            path = paths.report(stage, model) / "metrics.json"
            found["md5"][str(path)] = file_digest(path, "md5")
            found["models"][model][stage] = read_json(path)
        del found["models"][model]["evaluate"]["per_class"]
    return found


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    models = found["models"]
    evaluated = {model: reports["evaluate"] for model, reports in models.items()}
    return {
        "results: models": table(
            (
                "model",
                "parameters",
                "validation accuracy",
                "test accuracy, 95 % Wilson interval",
                "errors",
                "ONNX: largest difference of a logit",
            ),
            [_model_row(model, **reports) for model, reports in models.items()],
        ),
        "results: robustness": _robustness_table(evaluated),
        "results: attack": _attack_table(evaluated),
        "results: no digits": _no_digits_table({name: one["out_of_distribution"] for name, one in evaluated.items()}),
        "results: int8": table(
            ("model", "float32", "INT8", "difference, 95 % interval", "won, lost", "size"),
            [_int8_row(model, reports["export"]) for model, reports in models.items()],
        ),
    }


def _percent(share: float, digits: int = 2) -> str:
    return f"{share:.{digits}%}".replace("%", " %")


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}".replace("-", "−")


def _model_row(
    model: str, train: Mapping[str, Any], evaluate: Mapping[str, Any], export: Mapping[str, Any]
) -> list[str]:
    interval = f"{_percent(evaluate['accuracy_low'])[:-2]} to {100 * evaluate['accuracy_high']:.2f}"
    return [
        NAMES[model],
        f"{train['parameters']:,}",
        _percent(train["validation_accuracy"]),
        f"**{_percent(evaluate['accuracy'])}**, {interval}",
        f"{evaluate['errors']} of {evaluate['images']:,}",
        f"{export['max_logit_difference']:.1e}",
    ]


def _robustness_table(evaluated: Mapping[str, Any]) -> str:
    every = [kind for kind in next(iter(evaluated.values()))["robustness"] if kind not in ("mean", "worst")]
    rows = [
        [NAMES[model], *(_percent(one["robustness"][kind], 1) for kind in ("mean", *every))]
        for model, one in evaluated.items()
    ]
    return table(("", "mean of all", *every), rows)


def _attack_table(evaluated: Mapping[str, Any]) -> str:
    strengths = sorted(next(iter(evaluated.values()))["attack"], key=int)
    rows = [
        [NAMES[model], *map(_percent, (one["accuracy"], *(one["attack"][strength] for strength in strengths)))]
        for model, one in evaluated.items()
    ]
    return table(("grey levels", "0", *strengths), rows)


def _no_digits_table(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, shown in KINDS.items():
        one = [of_model[kind] for of_model in found.values()]
        rows.append(
            [
                shown,
                f"{one[0]['images']:,}",
                *(", ".join(_percent(row[name], 0) for row in one) for name in ("mean_confidence", "confident")),
                ", ".join(f"{row['auroc']:.3f}" for row in one),
                ", ".join(_percent(row["fpr_at_95_tpr"]) for row in one),
            ]
        )
    both = " and ".join(NAMES[model] for model in found)
    columns = ("kind", "images", f"mean confidence, {both}", "at 90 % or more", "`auroc`", "`fpr_at_95_tpr`")
    return table(columns, rows)


def _int8_row(model: str, export: Mapping[str, Any]) -> list[str]:
    found = export["int8"]
    low, high = (_points(found[f"accuracy_difference_{end}"]) for end in ("low", "high"))
    sizes = f"{found['size_bytes'] / 1000:,.0f} kB of {export['size_bytes'] / 1000:,.0f}"
    return [
        NAMES[model],
        _percent(found["float32_accuracy"]),
        _percent(found["accuracy"]),
        f"{_points(found['accuracy_difference'])} points, {low} to {high}",
        f"{found['won']}, {found['lost']}",
        f"{sizes}, {_percent(found['size_ratio'], 0)}",
    ]


if __name__ == "__main__":
    main()
