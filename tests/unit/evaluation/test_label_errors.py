"""Which images all models miss, and of which of them the label may be wrong."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.comparison.label_errors import missed_by_all

Changes = dict[int, tuple[str, float]]


def table(changes: Changes) -> pd.DataFrame:
    """Right and confident predictions of 100 images of each of three labels, but for the changed ones."""
    labels = np.repeat(["0", "1", "2"], 100)
    predictions = pd.DataFrame({"image": range(300), "label": labels, "predicted": labels, "confidence": 0.9})
    for image, values in changes.items():
        predictions.loc[image, ["predicted", "confidence"]] = values
    return predictions


SURE: Changes = {3: ("1", 0.95)}
LESS_SURE: Changes = {3: ("1", 0.6), 150: ("1", 0.5), 151: ("1", 0.5)}


@pytest.mark.parametrize(
    ("models", "significance", "expected"),
    [
        ([SURE, SURE], 0.02, {3: "1"}),
        ([SURE, {3: ("2", 0.95)}], 0.02, {3: ""}),  # the models disagree
        ([SURE, {3: ("1", 0.6)}], 0.02, {3: ""}),  # one finds it unusual for the other label
        ([LESS_SURE], 0.02, {3: "1"}),  # but not where two in a hundred are no more usual
        ([LESS_SURE], 0.03, {3: ""}),
        ([SURE | {4: ("1", 0.94)}], 0.02, {3: "1", 4: ""}),  # a usual mistake
        ([{3: ("3", 1.0)}], 0.02, {3: ""}),  # a label that no image has
        ([SURE, {}], 0.02, {}),
    ],
)
def test_a_label_is_suspected_where_the_image_is_usual_for_the_other(
    models: list[Changes], significance: float, expected: dict[int, str]
) -> None:
    found = missed_by_all({f"model-{number}": table(changes) for number, changes in enumerate(models)}, significance)
    assert dict(zip(found["image"], found["suspected_label"], strict=True)) == expected


def test_every_prediction_of_what_all_miss_is_listed_in_order() -> None:
    a, b = table({3: ("1", 0.7), 4: ("1", 0.9)}), table({3: ("2", 0.6), 150: ("0", 0.8)})
    (row,) = missed_by_all({"a": a, "b": b}, 0.02).to_dict("records")
    assert row == {
        **{"image": 3, "label": "0", "suspected_label": ""},
        **{"usual_for_label": 0.02, "usual_for_answer": 0.0},  # a takes another 0 for a 1 more surely
        **{"a_predicted": "1", "a_confidence": 0.7, "b_predicted": "2", "b_confidence": 0.6},
    }
    a = table({3: ("1", 0.5), 4: ("1", 0.92), 5: ("3", 0.99), 6: ("1", 0.6)})
    b = table({3: ("1", 0.8), 4: ("1", 0.92), 5: ("3", 0.99), 6: ("1", 0.5)})
    found = missed_by_all({"a": a, "b": b}, 0.03)
    assert found["image"].tolist() == [4, 5, 3, 6], "the suspected ones, then the most confident mistakes"
