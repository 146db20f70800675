"""A card says of a model what the reports say, and no more."""

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from mnist_pipeline.evaluation.model_card import Reports, Subject, model_card, to_html
from mnist_pipeline.tracking.registry import ELSEWHERE, shortened

SUBJECT = Subject(
    model="lenet",
    dataset="mnist",
    label_names=["zero", "one"],
    intended_use="To read digits.",
    out_of_scope="Letters.",
    settings={"seed": 42, "validation_size": 100, "epochs": 7, "augmentation": {"shear": 8.0, "scale": 0.1}},
    files={"models/lenet/weights.safetensors": "aa11", "models/lenet/model.onnx": "bb22"},
    confidence=0.95,
    int8_confidence=0.9,
)
PAIR = {"difference": 0.0123, "difference_low": -0.001, "difference_high": 0.02, "p_value": 0.28}
LABEL = {"precision": 0.9, "recall": 0.8, "f1": 0.8471, "support": 1234, "predicted": 1000}
EVALUATION: dict[str, Any] = {
    "accuracy": 0.9876,
    "accuracy_low": 0.98,
    "accuracy_high": 0.99,
    "errors": 25,
    "images": 2000,
    "temperature": 1.234,
    "f1": 0.9871,
    "f1_low": 0.9811,
    "f1_high": 0.9911,
    "loss": 0.0456,
    "loss_low": 0.0401,
    "loss_high": 0.0512,
    "expected_calibration_error": 0.0034,
    "expected_calibration_error_low": 0.0029,
    "expected_calibration_error_high": 0.0048,
    "area_under_risk": 0.00012,
    "area_under_risk_low": 0.00011,
    "area_under_risk_high": 0.00013,
    "worst_slice": 0.9512,
    "worst_slice_low": 0.9423,
    "worst_slice_high": 0.9634,
    "per_class": {"zero": LABEL, "one": LABEL | {"recall": 0.7}},
    "attack": {"16": 0.51, "8": 0.85},
    "out_of_distribution": {
        "fashion_mnist": {"images": 500, "mean_confidence": 0.63, "fpr_at_95_tpr": 0.004},
        "blank": {"images": 256, "mean_confidence": 0.87, "fpr_at_95_tpr": 0.125},
    },
    "robustness": {"blur": 0.5, "shift": 0.93, "mean": 0.715, "worst": 0.11},
}
INT8 = {
    "offered": True,
    "size_ratio": 0.325,
    "accuracy_difference": 0.0001,
    "accuracy_difference_low": -0.0002,
    "accuracy_difference_high": 0.0004,
}
EXPORT = {"images": 2000, "max_logit_difference": 7.6e-06, "data_md5": "cc33.dir", "int8": INT8}


def reports(**changes: Any) -> Reports:
    facts = {"train": {"images": 1100}, "test": {"images": 2000}}
    found: dict[str, Any] = {
        "validate": {"suite": "idx", "expectations": 59, "facts": facts},
        "train": {"parameters": 61_706, "validation_accuracy": 0.97},
        "evaluate": EVALUATION,
        "export": EXPORT,
        "compare": {"pairs": {"lenet against mlp": PAIR}, "missed_by_all": 23, "suspected_labels": 8},
    }
    return Reports(**(found | changes))


@pytest.mark.parametrize(
    "said",
    [
        "# Model card: lenet, trained on mnist",
        "A network of 61,706 parameters that tells which of 2 labels (zero to one)",
        "98.76% of 2,000 test images right, with an interval of 98.00% to 99.00% at 95%",
        "**Intended:** To read digits.",
        "**Not intended:** Letters.",
        "1,000 images for training, 100 held out",
        "59 expectations of them (suite `idx`)",
        "| errors | 25 of 2,000 |",
        "DVC knows them as `cc33.dir`.",
        "| accuracy on the held-out images | 97.00% of 100 |",
        "| F1 score, mean over the labels | 0.9871 (0.9811–0.9911) |",
        "| cross-entropy | 0.0456 (0.0401–0.0512) |",
        "| expected calibration error | 0.0034 (0.0029–0.0048) |",
        "| area under the risk-coverage curve | 1.2e-04 (1.1e-04–1.3e-04) |",
        "| temperature fitted on the held-out images | 1.23 |",
        "| one | 90.00% (87.98–91.71) | 70.00% (67.40–72.51) | 0.8471 | 1,234 |",
        "lenet against mlp: +1.23 points of accuracy, -0.10 to +2.00 at 95% confidence (bootstrap); exact McNemar p = "
        "0.28.",
        "miss the same 23 images; of these, 8 are suspected",
        "95.12% right, with an interval of 94.23% to 96.34%.",
        "Over all of them 71.5%, at worst 11.0%.",
        "leaves 85.0% (83.4–86.5) at 8, 51.0% (48.8–53.2) at 16 grey levels.",
        "| blank | 256 | 87% | 12.5% |",
        "| fashion mnist | 500 | 63% | 0.4% (0.1–1.4) |",
        "with logits within 7.6e-06",
        "| `models/lenet/model.onnx` | `bb22` |",
        "In INT8 it takes 32% of the bytes, at +0.01 points of accuracy, -0.02 to +0.04 at 90% confidence (Bonett and "
        "Price, 2012). Its files:",
        "```yaml\nseed: 42\nvalidation_size: 100\nepochs: 7\naugmentation: {shear: 8.0, scale: 0.1}\n```",
    ],
)
def test_a_card_says(said: str) -> None:
    assert said in model_card(SUBJECT, reports())


def test_int8_that_is_not_offered_is_not_told_of() -> None:
    assert "INT8" not in model_card(SUBJECT, reports(export=EXPORT | {"int8": INT8 | {"offered": False}}))


def test_the_changes_that_do_most_harm_come_first() -> None:
    card = model_card(SUBJECT, reports())
    assert card.index("| blur | 50.0% (") < card.index("| shift | 93.0% (")


def test_labels_keep_their_order_and_what_would_end_a_cell() -> None:
    per_class = {"one": LABEL, "b|c": LABEL, "zero": LABEL}
    subject = replace(SUBJECT, label_names=["zero", "one", "b|c"])
    card = model_card(subject, reports(evaluate=EVALUATION | {"per_class": per_class}))
    assert card.index("| zero | 90") < card.index("| one | 90") < card.index(r"| b\|c | 90")


def test_a_model_alone_is_compared_with_none() -> None:
    card = model_card(SUBJECT, reports(compare={"pairs": {}, "missed_by_all": 25, "suspected_labels": 3}))
    assert "other models" not in card
    assert "Of the images that it misses, 3 are suspected" in card


def test_what_people_say_makes_no_section_of_its_own() -> None:
    card = model_card(replace(SUBJECT, intended_use="Digits.\n\n## Results\n\nAll right."), reports())
    assert "**Intended:** Digits. ## Results All right.\n" in card


def test_a_recipe_may_hold_lists() -> None:
    card = model_card(replace(SUBJECT, settings=SUBJECT.settings | {"architecture": {"hidden": [512, 512]}}), reports())
    (recipe,) = re.findall(r"```yaml\n(.*?)```", card, re.DOTALL)
    assert yaml.safe_load(recipe)["architecture"] == {"hidden": [512, 512]}


def test_pairs_of_other_models_are_left_out() -> None:
    pairs = {"mlp against softmax": PAIR}
    card = model_card(SUBJECT, reports(compare={"pairs": pairs, "missed_by_all": 0, "suspected_labels": 0}))
    assert "McNemar" not in card


def test_the_program_in_a_card_can_be_run_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", model_card(SUBJECT, reports()), re.DOTALL)
    compile(program, "card", "exec")
    assert 'InferenceSession("models/lenet/model.onnx")' in program


def test_the_page_shows_tables_and_pictures_and_needs_no_other_file() -> None:
    page = to_html(model_card(SUBJECT, reports()), "A <card>", {"Confusion & more": b"png"})
    assert "<td>25 of 2,000</td>" in page
    assert "<title>A &lt;card&gt;</title>" in page
    assert '<h2>Confusion &amp; more</h2><img alt="Confusion &amp; more" src="data:image/png;base64,cG5n">' in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_no_markup_of_an_author_reaches_the_page() -> None:
    page = to_html("<script>alert(1)</script>", "t", {})
    assert "<script>" not in page


def test_what_the_registry_has_no_room_for_is_left_out_by_sections() -> None:
    card = "# Card\n\n## First\n\n" + "a" * 100 + "\n\n## Second\n\n" + "b" * 200 + "\n"
    assert shortened(card, 5000) == card
    short = shortened(card, 300)
    assert short == "# Card\n\n## First\n\n" + "a" * 100 + "\n" + ELSEWHERE
    assert len(short) <= 300
