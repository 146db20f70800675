"""Which images all models miss, and of which of them the label may be wrong."""

import numpy as np
import pandas as pd

from mnist_pipeline.evaluation.label_errors import missed_by_all

EACH = 100
"""Images with label 0, then as many with 1 and with 2; all answers are right and sure unless a test says otherwise."""


def answers(**changed: tuple[str, float]) -> pd.DataFrame:
    """A model's answers and confidences; `image_3=("1", 0.9)` is its answer to image 3."""
    labels = np.repeat(["0", "1", "2"], EACH)
    table = pd.DataFrame({"image": range(len(labels)), "label": labels, "predicted": labels, "confidence": 0.9})
    for name, (predicted, confidence) in changed.items():
        table.loc[int(name.removeprefix("image_")), ["predicted", "confidence"]] = predicted, confidence
    return table


def suspected(*tables: pd.DataFrame, significance: float = 0.02) -> dict[int, str]:
    found = missed_by_all({f"model-{number}": table for number, table in enumerate(tables)}, significance)
    return dict(zip(found["image"], found["suspected_label"], strict=True))


def test_only_what_every_model_misses_is_listed_with_every_answer() -> None:
    a, b = answers(image_3=("1", 0.7), image_4=("1", 0.9)), answers(image_3=("2", 0.6), image_150=("0", 0.8))
    found = missed_by_all({"a": a, "b": b}, 0.02)
    assert found.to_dict("records") == [
        {
            "image": 3,
            "label": "0",
            "suspected_label": "",
            "usual_for_label": 0.02,  # of a, which takes another 0 for a 1 more surely
            "usual_for_answer": 0.0,
            "a_predicted": "1",
            "a_confidence": 0.7,
            "b_predicted": "2",
            "b_confidence": 0.6,
        }
    ]


def test_a_label_is_suspected_where_the_image_is_usual_for_the_other() -> None:
    table = answers(image_3=("1", 0.95))
    assert suspected(table, table) == {3: "1"}


def test_nothing_is_suspected_where_the_models_disagree() -> None:
    one, two = answers(image_3=("1", 0.95)), answers(image_3=("2", 0.95))
    assert suspected(one, one) == {3: "1"}
    assert suspected(two, two) == {3: "2"}
    assert suspected(one, two) == {3: ""}


def test_nothing_is_suspected_where_one_model_finds_the_image_unusual_for_the_other_label() -> None:
    sure, unsure = answers(image_3=("1", 0.95)), answers(image_3=("1", 0.6))
    assert suspected(sure, sure) == {3: "1"}
    assert suspected(sure, unsure) == {3: ""}


def test_a_little_less_sure_than_usual_is_sure_enough_where_a_share_of_the_label_is_no_more_sure() -> None:
    less_sure = {f"image_{image}": ("1", 0.5) for image in (150, 151)}
    table = answers(image_3=("1", 0.6), **less_sure)
    assert suspected(table, significance=0.02) == {3: "1"}
    assert suspected(table, significance=0.03) == {3: ""}


def test_a_mistake_that_a_model_often_makes_says_nothing_of_the_label() -> None:
    usual = {f"image_{image}": ("1", 0.95) for image in range(10)}
    assert set(suspected(answers(**usual)).values()) == {""}


def test_unusual_are_fewer_than_the_share_of_the_images() -> None:
    table = answers(image_3=("1", 0.95), image_4=("1", 0.94))
    assert suspected(table, significance=0.02) == {3: "1", 4: ""}
    assert suspected(table, significance=0.021) == {3: "1", 4: "1"}


def test_of_many_mistakes_the_most_confident_one_can_be_suspected() -> None:
    unsure = {f"image_{image}": ("1", 0.5) for image in range(10)}
    assert suspected(answers(**unsure | {"image_7": ("1", 0.95)}))[7] == "1"


def test_a_label_that_no_image_has_is_never_suspected() -> None:
    assert suspected(answers(image_3=("3", 1.0))) == {3: ""}


def test_suspected_labels_come_first_and_then_the_most_confident_mistakes() -> None:
    a = answers(image_3=("1", 0.5), image_4=("1", 0.92), image_5=("3", 0.99), image_6=("1", 0.6))
    b = answers(image_3=("1", 0.8), image_4=("1", 0.92), image_5=("3", 0.99), image_6=("1", 0.5))
    assert list(suspected(a, b, significance=0.03)) == [4, 5, 3, 6]


def test_models_that_miss_nothing_together_give_an_empty_table_with_all_columns() -> None:
    found = missed_by_all({"a": answers(image_3=("1", 0.9)), "b": answers()}, 0.02)
    assert found.empty
    assert list(found.columns)[2:6] == ["suspected_label", "usual_for_label", "usual_for_answer", "a_predicted"]
