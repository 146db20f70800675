"""What commits before the flat metrics.json recorded, in today's names."""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from mnist_pipeline import paths
from mnist_pipeline.files import read_json

SAME = ("accuracy", "accuracy_low", "accuracy_high", "errors", "loss", "f1", "max_logit_difference", "size_bytes")
NAMES = {name: name for name in SAME} | {
    "calibration_error": "expected_calibration_error",
    "corruption_accuracy": "robustness.mean",
    "corruption_accuracy_worst": "robustness.worst",
    "attack_accuracy_16": "attack.16",
    "worst_slice_accuracy": "worst_slice",
    "int8_accuracy_difference": "int8.accuracy_difference",
    "int8_size_ratio": "int8.size_ratio",
}


def renamed(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metrics of evaluate or export, of which the first commits had fewer."""
    if not {"per_class", "opset"} & report.keys():
        return report
    sections = {key: report.get(key, {}) for key in ("robustness", "attack", "int8")}
    nested = {f"{key}.{name}": value for key, section in sections.items() for name, value in section.items()}
    known = {**report, **nested}
    kinds = report.get("out_of_distribution", {}).values()
    ood = {"ood_auroc": mean(kind["auroc"] for kind in kinds)} if kinds else {}
    return {name: known[path] for name, path in NAMES.items() if path in known} | ood


def facts(root: Path) -> Mapping[str, Any]:
    """The facts of validated data, which the first commits had among the metrics."""
    file = root / paths.VALIDATION / "facts.json"
    report = read_json(file if file.exists() else root / paths.VALIDATION / "metrics.json")
    found: Mapping[str, Any] = report.get("facts", {})
    return found
