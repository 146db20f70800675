"""Published results: the last measured ones, for the tables of README.md and docs, whatever dvc.lock records now.

    python benchmarks/results.py

copies what the reports of `make repro` or `dvc pull` hold to `benchmarks/results/results.json` and into the pages, and
the picture of the images that all models miss to `docs/images`.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from report import table, write_in_pages

RESULTS = Path(__file__).parent / "results/results.json"
NAMES = {"lenet": "LeNet", "mlp": "MLP"}
KINDS = {
    "fashion_mnist": "`fashion_mnist`: garments",
    "shuffled_pixels": "`shuffled_pixels` of the test images",
    "blank": "`blank`: one image of each grey level",
}
Models = Mapping[str, Mapping[str, Any]]


def main() -> None:
    RESULTS.write_text(json.dumps(read(), indent=2, sort_keys=True) + "\n")
    write_in_pages(tables(json.loads(RESULTS.read_text())))
    shutil.copy("reports/compare/figures/missed_by_all.png", "docs/images")


def read() -> dict[str, Any]:
    """The reports of all models of params.yaml that the tables are made of."""
    import pandas as pd

    from mnist_pipeline import paths
    from mnist_pipeline.files import read_json
    from mnist_pipeline.params import load_params

    found: dict[str, Any] = {}
    for model in load_params().models:
        folders = {stage: paths.report(stage, model) for stage in ("train", "evaluate", "export")}
        found[model] = {stage: read_json(folder / "metrics.json") for stage, folder in folders.items()}
        found[model]["details"] = read_json(folders["export"] / "details.json")
        for name in ("corruptions", "attack", "out_of_distribution"):
            rows = pd.read_csv(folders["evaluate"] / f"tables/{name}.csv")
            found[model][name] = rows.to_dict("records")
    return found


def tables(models: Models) -> dict[str, str]:
    first, shown = next(iter(models.values())), " and ".join(NAMES.get(model, model) for model in models)
    every = sorted({row["corruption"] for row in first["corruptions"]})
    columns = "model", "parameters", "validation accuracy", "test accuracy, 95 % Wilson interval", "errors"
    strengths = [str(row["strength"]) for row in first["attack"]]
    kinds = zip(*(found["out_of_distribution"] for found in models.values()), strict=True)

    def of_models(columns: Sequence[str], cells: Callable[..., Sequence[str]]) -> str:
        return table(columns, [(NAMES.get(model, model), *cells(**found)) for model, found in models.items()])

    return {
        "results: models": of_models((*columns, "ONNX: largest difference of a logit"), _model_cells),
        "results: robustness": of_models(("", "mean of all", *every), partial(_means, every)),
        "results: attack": of_models(
            ("grey levels", *strengths), lambda attack, **_: [_percent(row["accuracy"]) for row in attack]
        ),
        "results: out of distribution": table(
            ("kind", "images", f"mean confidence, {shown}", "at 90 % or more", "`auroc`", "`fpr_at_95_tpr`"),
            [_kind_cells(rows) for rows in kinds],
        ),
        "results: int8": of_models(
            ("model", "float32", "INT8", "difference, 95 % interval", "won, lost", "size"), _int8_cells
        ),
    }


def _percent(share: float, digits: int = 2) -> str:
    return f"{share:.{digits}%}".replace("%", " %")


def _model_cells(train: Any, evaluate: Any, export: Any, details: Any, **_: Any) -> Sequence[str]:
    low, high = 100 * evaluate["accuracy_low"], 100 * evaluate["accuracy_high"]
    accuracy = f"**{_percent(evaluate['accuracy'])}**, {low:.2f} to {high:.2f}"
    errors, difference = f"{evaluate['errors']} of {details['images']:,}", f"{export['max_logit_difference']:.1e}"
    return f"{train['parameters']:,}", _percent(train["validation_accuracy"]), accuracy, errors, difference


def _means(every: list[str], corruptions: list[dict[str, Any]], **_: Any) -> Sequence[str]:
    chosen = [corruptions, *([row for row in corruptions if row["corruption"] == name] for name in every)]
    return [_percent(sum(row["accuracy"] for row in part) / len(part), 1) for part in chosen]


def _kind_cells(rows: tuple[dict[str, Any], ...]) -> Sequence[str]:
    """Of one kind of images, a dictionary of each model."""
    kind, images = rows[0]["kind"], rows[0]["images"]
    confidences = (", ".join(_percent(row[name], 0) for row in rows) for name in ("mean_confidence", "confident"))
    areas, let_through = (f"{row['auroc']:.3f}" for row in rows), (_percent(row["fpr_at_95_tpr"]) for row in rows)
    return KINDS.get(kind, f"`{kind}`"), f"{images:,}", *confidences, ", ".join(areas), ", ".join(let_through)


def _int8_cells(export: Any, details: Any, **_: Any) -> Sequence[str]:
    int8, test = details["int8"], details["int8"]["test"]
    names = ("accuracy_difference", "accuracy_difference_low", "accuracy_difference_high")
    difference, low, high = (f"{100 * test[name]:+.2f}".replace("-", "−") for name in names)
    sizes = f"{int8['size_bytes'] / 1000:,.0f} kB of {export['size_bytes'] / 1000:,.0f}"
    return (
        *(_percent(test["float32_accuracy"]), _percent(test["accuracy"])),
        *(f"{difference} points, {low} to {high}", f"{test['won']}, {test['lost']}"),
        f"{sizes}, {_percent(export['int8_size_ratio'], 0)}",
    )


if __name__ == "__main__":
    main()
