"""A model card: what a model is for, what it was made from, how good it is and where it fails.

After Mitchell et al. (2019), "Model cards for model reporting", FAT*. Every number is one of a report.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from mnist_pipeline.evaluation.intervals import wilson_interval

Report = Mapping[str, Any]
STYLE = """
body { font-family: system-ui, sans-serif; margin: 2em auto; max-width: 48em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .8em 0 } th, td { border-bottom: 1px solid #ccc; padding: .25em .9em }
th, td { text-align: left } pre { background: #f4f4f4; padding: 1em; overflow-x: auto } img { max-width: 100% }
"""


@dataclass(frozen=True)
class Subject:
    """What a card is of.

    `settings` are the parameters of its training, `files` the path of each of its files with its MD5, and the two texts
    are what the people who publish it say. `confidence` is that of all intervals but that of INT8's difference, which
    has its own.
    """

    model: str
    dataset: str
    label_names: Sequence[str]
    intended_use: str
    out_of_scope: str
    settings: Mapping[str, Any]
    files: Mapping[str, str]
    confidence: float
    int8_confidence: float


@dataclass(frozen=True)
class Reports:
    """What the stages found, as their `metrics.json` have it; `compare` is of all models together."""

    validate: Report
    train: Report
    evaluate: Report
    export: Report
    compare: Report


def model_card(subject: Subject, reports: Reports) -> str:
    """The card in Markdown."""
    sections = (
        _summary(subject, reports),
        _use(subject),
        _data(subject, reports),
        _results(subject, reports),
        _labels(subject, reports.evaluate),
        _against_others(subject, reports.compare),
        _limits(subject, reports.evaluate),
        _loading(subject, reports.export),
        _recipe(subject),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def to_html(card: str, title: str, pictures: Mapping[str, bytes]) -> str:
    """The card as a page that needs no other file; `pictures` are PNG files with what stands above each."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    shown = "".join(
        f'<h2>{escape(name)}</h2><img alt="{escape(name)}" src="data:image/png;base64,{b64encode(content).decode()}">\n'
        for name, content in pictures.items()
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}{shown}</body></html>\n"
    )


def _summary(subject: Subject, reports: Reports) -> list[str]:
    test, names = reports.evaluate, subject.label_names
    return [
        f"# Model card: {subject.model}, trained on {subject.dataset}",
        "",
        f"A network of {reports.train['parameters']:,} parameters that tells which of {len(names)} labels "
        f"({names[0]} to {names[-1]}) a grey image of 28×28 pixels shows. It has {test['accuracy']:.2%} of "
        f"{test['images']:,} test images right, with an interval of {test['accuracy_low']:.2%} to "
        f"{test['accuracy_high']:.2%} at {100 * subject.confidence:g}%.",
    ]


def _use(subject: Subject) -> list[str]:
    intended, not_intended = (" ".join(text.split()) for text in (subject.intended_use, subject.out_of_scope))
    return ["## Use", "", f"**Intended:** {intended}", "", f"**Not intended:** {not_intended}"]


def _data(subject: Subject, reports: Reports) -> list[str]:
    gate, facts = reports.validate, reports.validate["facts"]
    held_out = subject.settings["validation_size"]
    return [
        "## Data",
        "",
        f"{facts['train']['images'] - held_out:,} images for training, {held_out:,} held out of the training set to "
        f"choose parameters by, {facts['test']['images']:,} for the test, by which no parameter of the training was "
        f"chosen. The gate asked {gate['expectations']} expectations of them (suite `{gate['suite']}`), and all were "
        f"met. DVC knows them as `{reports.export['data_md5']}`.",
    ]


def _results(subject: Subject, reports: Reports) -> list[str]:
    test, held_out = reports.evaluate, subject.settings["validation_size"]
    rows = {
        "test accuracy": _with_interval(subject, test["accuracy"], test["images"]),
        "errors": f"{test['errors']:,} of {test['images']:,}",
        "accuracy on the held-out images": f"{reports.train['validation_accuracy']:.2%} of {held_out:,}",
        "F1 score, mean over the labels": _bootstrapped(test, "f1", ".4f"),
        "cross-entropy": _bootstrapped(test, "loss", ".4f"),
        "expected calibration error": _bootstrapped(test, "expected_calibration_error", ".4f"),
        "area under the risk-coverage curve": _bootstrapped(test, "area_under_risk", ".1e"),
        "temperature fitted on the held-out images": f"{test['temperature']:.2f}",
    }
    return [
        "## Results on the test images",
        "",
        f"In brackets: the interval at {100 * subject.confidence:g}%, Wilson's of a share, the bootstrap's of other "
        "measures. That of the calibration error lies high, as chance can only raise it.",
        "",
        *_table(("measure", "value"), rows.items()),
    ]


def _with_interval(subject: Subject, share: float, images: int, digits: int = 2) -> str:
    low, high = wilson_interval(round(share * images), images, subject.confidence)
    return f"{share:.{digits}%} ({100 * low:.{digits}f}–{100 * high:.{digits}f})"


def _bootstrapped(test: Report, name: str, digits: str) -> str:
    low, high = (f"{test[f'{name}_{end}']:{digits}}" for end in ("low", "high"))
    return f"{test[name]:{digits}} ({low}–{high})"


def _labels(subject: Subject, test: Report) -> list[str]:
    every = ((label, test["per_class"][label]) for label in subject.label_names)
    rows = [(label, *_of_label(subject, found), f"{found['support']:,}") for label, found in every]
    return _table(("label", "precision", "recall", "F1 score", "images"), rows)


def _of_label(subject: Subject, found: Report) -> tuple[str, str, str]:
    recall = _with_interval(subject, found["recall"], found["support"]) if found["support"] else "none to find"
    precision = _with_interval(subject, found["precision"], found["predicted"]) if found["predicted"] else "none given"
    return precision, recall, f"{found['f1']:.4f}"


def _against_others(subject: Subject, compare: Report) -> list[str]:
    if not compare["pairs"]:
        return [f"Of the images that it misses, {compare['suspected_labels']:,} are suspected to be labelled wrongly."]
    lines = ["## Against the other models", ""]
    for name, pair in compare["pairs"].items():
        if subject.model in name.split(" against "):
            lines += [
                f"{name}: {100 * pair['difference']:+.2f} points of accuracy, "
                f"{100 * pair['difference_low']:+.2f} to {100 * pair['difference_high']:+.2f} at "
                f"{100 * subject.confidence:g}% confidence (bootstrap); exact McNemar p = {pair['p_value']:.2g}.",
                "",
            ]
    return [
        *lines,
        f"All models miss the same {compare['missed_by_all']:,} images; of these, {compare['suspected_labels']:,} are "
        "suspected to be labelled wrongly.",
    ]


def _limits(subject: Subject, test: Report) -> list[str]:
    """Where it fails: the least accurate part of the test images, and images that were changed."""
    robustness = {name: value for name, value in test["robustness"].items() if name not in ("mean", "worst")}
    ordered = sorted(robustness.items(), key=lambda item: float(item[1]))
    rows = [(name, _with_interval(subject, value, test["images"], 1)) for name, value in ordered]
    return [
        "## Limits",
        "",
        f"On the least accurate quarter of the test images by ink, slant, stroke width or size it has "
        f"{test['worst_slice']:.2%} right, with an interval of {test['worst_slice_low']:.2%} to "
        f"{test['worst_slice_high']:.2%}. Of all test images, changed at five strengths each, "
        "with the interval of the images once:",
        "",
        *_table(("change", "accuracy"), rows),
        "",
        f"Over all of them {test['robustness']['mean']:.1%}, at worst {test['robustness']['worst']:.1%}. "
        f"One step of an attack (fast gradient sign) leaves {_attacked(subject, test)} grey levels.",
        "",
        "Images that show none of its labels get one all the same. Of these, what a bound on the logits lets through "
        "where it lets 95 % of the test images through:",
        "",
        *_table(
            ("what they show", "images", "mean confidence", "let through"),
            [
                (
                    kind.replace("_", " "),
                    f"{found['images']:,}",
                    f"{found['mean_confidence']:.0%}",
                    _let_through(subject, kind, found),
                )
                for kind, found in test["out_of_distribution"].items()
            ],
        ),
    ]


def _let_through(subject: Subject, kind: str, found: Report) -> str:
    if kind == "blank":  # all that there are, no sample
        return f"{found['fpr_at_95_tpr']:.1%}"
    return _with_interval(subject, found["fpr_at_95_tpr"], found["images"], 1)


def _attacked(subject: Subject, test: Report) -> str:
    by_strength = sorted((int(strength), accuracy) for strength, accuracy in test["attack"].items())
    return ", ".join(
        f"{_with_interval(subject, accuracy, test['images'], 1)} at {strength}" for strength, accuracy in by_strength
    )


def _loading(subject: Subject, export: Report) -> list[str]:
    network = next(path for path in subject.files if path.endswith(".onnx"))
    return [
        "## Loading it",
        "",
        "Raw pixels in, 0 to 255, bright on black, as in the training set; the network standardises them itself.",
        "",
        "```python",
        "import numpy as np, onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{network}")',
        "images = np.zeros((1, 28, 28), np.uint8)",
        'logits, probabilities = session.run(["logits", "probabilities"], {"image": images})',
        "```",
        "",
        f"onnxruntime gives PyTorch's {export['images']:,} predictions, with logits within "
        f"{export['max_logit_difference']:.1e}. {_int8(subject, export['int8'])}Its files:",
        "",
        *_table(("file", "MD5"), [(f"`{path}`", f"`{md5}`") for path, md5 in subject.files.items()]),
    ]


def _int8(subject: Subject, found: Report) -> str:
    if not found["offered"]:
        return ""
    low, high = (100 * found[f"accuracy_difference_{end}"] for end in ("low", "high"))
    return (
        f"In INT8 it takes {found['size_ratio']:.0%} of the bytes, at {100 * found['accuracy_difference']:+.2f} "
        f"points of accuracy, {low:+.2f} to {high:+.2f} at {100 * subject.int8_confidence:g}% confidence "
        "(Bonett and Price, 2012). "
    )


def _recipe(subject: Subject) -> list[str]:
    """As YAML; a group of plain values takes one line."""
    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = None
    # The keys keep the order of params.yaml. ruamel.yaml takes a bool here and declares None.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 200
    yaml.dump(dict(subject.settings), text)
    return ["## Recipe", "", "```yaml", *text.getvalue().splitlines(), "```"]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *escaped]]
