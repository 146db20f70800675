"""The expectations of a suite, checked by Great Expectations; the only module that knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation

from mnist_pipeline.validation.duplicates import NEAR
from mnist_pipeline.validation.labels import CONTRADICTED
from mnist_pipeline.validation.statistics import COLOURS, Tables
from mnist_pipeline.validation.suite import Suite

EXAMPLES, VALUES = 8, 3
"""How many of the unexpected images a failure names, and how many of their values it shows."""
WHOLE_SET = "whole set"
LEAKED = "test images that stand in train, share"
UNREADABLE = "pictures that cannot be read, share"


@dataclass(frozen=True)
class Failure:
    """An expectation that is not met."""

    table: str  # a split, or the whole set
    column: str
    expected: str
    observed: str
    count: int | None  # of unexpected images; a fact of the whole set has none
    examples: tuple[int, ...]  # the first of them, by their place in the split
    files: tuple[str, ...] = ()  # of these, or of pictures that became no image, where they are known


def check(
    tables: Tables, facts: Mapping[str, Any], suite: Suite, label_names: Sequence[str], data_docs: Path
) -> tuple[int, list[Failure]]:
    """Check the data, and write Great Expectations' Data Docs into the folder `data_docs`.

    There are as many classes as the suite expects, or else as have a name.

    Returns:
        How many expectations the suite has, and which are not met.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(data_docs.absolute())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    context.add_data_docs_site(
        "validation", {"class_name": "SiteBuilder", "store_backend": backend, "site_index_builder": index}
    )
    classes = suite.classes or len(label_names)
    checked = {str(name): (table, _of_images(suite, classes)) for name, table in tables.items()}
    checked[WHOLE_SET] = _of_whole_set(facts, suite, classes)
    failures: list[Failure] = []
    for name, (table, expectations) in checked.items():
        batch = (
            context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        )
        expected = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=expected))
        form: Any = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
        found = definition.run(batch_parameters={"dataframe": table}, result_format=form)
        unmet = (result for result in found.results if not result.success)
        failures += [_failure(name, table, result, facts, label_names) for result in unmet]
    context.build_data_docs()
    return sum(len(expectations) for _, expectations in checked.values()), failures


def class_name(label: int, label_names: Sequence[str]) -> str:
    """The number of a class, and its name where that is another."""
    known = label_names[label] if label < len(label_names) else str(label)
    return str(label) if known == str(label) else f"{label} ({known})"


def _of_images(suite: Suite, classes: int) -> list[Expectation]:
    """Of the table of one split, where each row is an image."""
    bounds: dict[str, Sequence[float | None] | None] = {
        "mean": suite.brightness,
        "std": suite.contrast,
        "max": suite.brightest,
        "sharpness": None if suite.min_sharpness is None else (suite.min_sharpness, None),
        "roughness": suite.roughness,
        "ink_fraction": suite.ink_fraction,
        "box_side": suite.box_side,
        "centre_distance": None if suite.max_centre_distance is None else (0, suite.max_centre_distance),
    }
    inside, unique = _all_but(suite.max_outlier_share), _all_but(suite.max_duplicate_share)
    shape = zip(("height", "width", "channels"), suite.image_shape or (), strict=False)
    return [
        _between("label", 0, classes - 1),
        *(_between(column, side, side) for column, side in shape),
        _between("std", 0, None, mostly=_all_but(suite.max_blank_share), strict_min=True),
        gxe.ExpectColumnValuesToBeUnique(column="content", mostly=unique),
        _between("nearest", NEAR, None, mostly=unique, strict_min=True),
        _between("contradiction", None, CONTRADICTED, mostly=_all_but(suite.max_contradicted_share)),
        *(_between(column, *ends, mostly=inside) for column, ends in bounds.items() if ends),
    ]


def _of_whole_set(facts: Mapping[str, Any], suite: Suite, classes: int) -> tuple[pd.DataFrame, list[Expectation]]:
    """The facts as a table of one row, and what is expected of it: at least, that each class has a training image."""
    checked: dict[str, tuple[float, float | None, float | None]] = {}
    for split, needed, absent in (("train", 1, ()), ("test", 0, suite.without_test_images or ())):
        found, exact = facts[split], getattr(suite, f"{split}_counts")
        least = max(getattr(suite, f"{split}_min_per_class") or 0, needed)
        for name in ("pixel_mean", "pixel_std", "box_aspect", "grey_levels", "few_grey_levels"):
            if bounds := getattr(suite, name):
                checked[f"{split}/{name}"] = (found[name], *bounds)
        balance = [*found.get("colour_balance", ()), 0.0, 0.0, 0.0, 0.0]  # grey has no colour
        for colour, value, bounds in zip(COLOURS, balance, suite.colour_balance or (), strict=False):
            checked[f"{split}/colour_balance/{colour}"] = (value, *bounds)
        for name, lowest in (("agreement", suite.min_agreement), ("centroid_accuracy", suite.min_centroid_accuracy)):
            if lowest is not None:
                checked[f"{split}/{name}"] = (found[name], lowest, 1)
        counts = {label: found["count"].get(str(label), 0) for label in range(classes)}
        if exact:
            for label, count in counts.items():
                expected = max(exact[label], needed)
                checked[f"{split}/count/{label}"] = (count, expected, expected)
        else:
            # An expectation for each of 1,000 classes takes 10 s: those that are not met, or else the nearest to it
            few = [label for label, count in counts.items() if count < least and label not in absent]
            for label in few or [min(counts.keys() - absent or counts, key=counts.__getitem__)]:
                checked[f"{split}/count/{label}"] = (counts[label], least, None)
            if suite.max_class_ratio is not None:
                ratio = max(counts.values()) / min(filter(None, counts.values()), default=1)
                checked[f"{split}/class_ratio"] = (ratio, 1, suite.max_class_ratio)
    checked[LEAKED] = (facts["duplicates_across"] / facts["test"]["images"], 0, suite.max_duplicate_share)
    if suite.max_unreadable_share is not None:
        checked[UNREADABLE] = (facts.get("unreadable_share", 0), 0, suite.max_unreadable_share)
    table = pd.DataFrame([{column: value for column, (value, _, _) in checked.items()}])
    return table, [_between(column, low, high) for column, (_, low, high) in checked.items()]


def _between(column: str, low: float | None, high: float | None, **options: Any) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **options)


def _all_but(share: float) -> float:
    """The share that remains, rounded: 1 - 0.059 is a little more than 0.941."""
    return round(1 - share, 12)


def _failure(
    name: str,
    table: pd.DataFrame,
    result: ExpectationValidationResult,
    facts: Mapping[str, Any],
    label_names: Sequence[str],
) -> Failure:
    config, details = result.expectation_config, result.result
    if config is None or not details:  # the table has no such column: a mistake of this program, not of the data
        raise RuntimeError(f"{name}: {result.exception_info}")
    column, values = str(config.kwargs["column"]), details["partial_unexpected_list"]
    if column == "content":
        values = [digest[:7] for digest in values]  # as git shows one
    texts = dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    examples = [] if name == WHOLE_SET else details["partial_unexpected_index_list"]
    before, counted, label = column.partition("/count/")
    files = facts["unreadable"] if column == UNREADABLE else table["file"][examples] if "file" in table else ()
    return Failure(
        table=name,
        column=f"{before}{counted}{class_name(int(label), label_names)}" if counted else column,
        expected=_expected(config.type, config.kwargs),
        observed=", ".join(list(texts)[:VALUES]),
        count=None if name == WHOLE_SET else details["unexpected_count"],
        examples=tuple(examples),
        files=tuple(files),
    )


def _expected(kind: str, arguments: Mapping[str, Any]) -> str:
    if kind == "expect_column_values_to_be_unique":
        text = "no value twice"
    else:
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if low is None:
            text = f"at most {high:g}"
        elif high is None:
            text = f"above {low:g}" if arguments.get("strict_min") else f"at least {low:g}"
        else:
            text = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    share = arguments.get("mostly", 1)
    return text if share == 1 else f"{text}, in {share:.4%} of the images"
