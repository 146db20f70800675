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

from mnist_pipeline.data.idx import IMAGE_SIZE
from mnist_pipeline.validation.duplicates import NEAR
from mnist_pipeline.validation.labels import CONTRADICTED
from mnist_pipeline.validation.statistics import Tables
from mnist_pipeline.validation.suite import Suite

EXAMPLES, VALUES = 8, 3
"""How many of the unexpected images a failure names, and how many of their values it shows."""
WHOLE_SET = "whole set"
LEAKED = "test images that stand in train, share"


@dataclass(frozen=True)
class Failure:
    """An expectation that is not met."""

    table: str  # a split, or the whole set
    column: str
    expected: str
    observed: str
    count: int | None  # of unexpected images; a fact of the whole set has none
    examples: tuple[int, ...]  # the first of them, by their place in the split


def check(tables: Tables, facts: Mapping[str, Any], suite: Suite, data_docs: Path) -> tuple[int, list[Failure]]:
    """Check the data, and write Great Expectations' Data Docs into the folder `data_docs`.

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
    checked = {str(name): (table, _of_images(suite)) for name, table in tables.items()}
    checked[WHOLE_SET] = _of_whole_set(facts, suite)
    failures: list[Failure] = []
    for name, (table, expectations) in checked.items():
        batch = (
            context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        )
        expected = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=expected))
        form: Any = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
        checkpoint = gx.Checkpoint(name=name, validation_definitions=[definition], result_format=form)
        run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
        for of_table in run.run_results.values():
            failures += [_failure(name, result) for result in of_table.results if not result.success]
    context.build_data_docs()
    return sum(len(expectations) for _, expectations in checked.values()), failures


def _of_images(suite: Suite) -> list[Expectation]:
    """Of the table of one split, where each row is an image."""
    bounds: dict[str, Sequence[float | None]] = {
        "max": suite.brightest,
        "sharpness": (suite.min_sharpness, None),
        "roughness": suite.roughness,
        "ink_fraction": suite.ink_fraction,
        "box_side": suite.box_side,
        "centre_distance": (0, suite.max_centre_distance),
    }
    inside, unique = _all_but(suite.max_outlier_share), _all_but(suite.max_duplicate_share)
    return [
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(suite.classes))),
        _between("height", IMAGE_SIZE, IMAGE_SIZE),
        _between("width", IMAGE_SIZE, IMAGE_SIZE),
        _between("std", 0, None, mostly=_all_but(suite.max_blank_share), strict_min=True),
        gxe.ExpectColumnValuesToBeUnique(column="content", mostly=unique),
        _between("nearest", NEAR, None, mostly=unique, strict_min=True),
        _between("contradiction", None, CONTRADICTED, mostly=_all_but(suite.max_contradicted_share)),
        *(_between(column, low, high, mostly=inside) for column, (low, high) in bounds.items()),
    ]


def _of_whole_set(facts: Mapping[str, Any], suite: Suite) -> tuple[pd.DataFrame, list[Expectation]]:
    """The facts as a table of one row, and what is expected of it.

    A class without images counts 0, and as 1 in the ratio of the largest to the smallest.
    """
    checked: dict[str, tuple[float, float | None, float | None]] = {}
    for split, exact, least in (
        ("train", suite.train_counts, suite.train_min_per_class),
        ("test", suite.test_counts, suite.test_min_per_class),
    ):
        found = facts[split]
        for name in ("pixel_mean", "pixel_std", "box_aspect", "grey_levels", "few_grey_levels"):
            checked[f"{split}/{name}"] = (found[name], *getattr(suite, name))
        checked[f"{split}/agreement"] = (found["agreement"], suite.min_agreement, 1)
        checked[f"{split}/centroid_accuracy"] = (found["centroid_accuracy"], suite.min_centroid_accuracy, 1)
        counts = [found["count"].get(str(label), 0) for label in range(suite.classes)]
        for label, count in enumerate(counts):
            checked[f"{split}/count/{label}"] = (count, exact[label], exact[label]) if exact else (count, least, None)
        if not exact:
            checked[f"{split}/class_ratio"] = (max(counts) / max(1, min(counts)), 1, suite.max_class_ratio)
    checked[LEAKED] = (facts["duplicates_across"] / facts["test"]["images"], 0, suite.max_duplicate_share)
    table = pd.DataFrame([{column: value for column, (value, _, _) in checked.items()}])
    return table, [_between(column, low, high) for column, (_, low, high) in checked.items()]


def _between(column: str, low: float | None, high: float | None, **options: Any) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **options)


def _all_but(share: float) -> float:
    """The share that remains, rounded: 1 - 0.059 is a little more than 0.941."""
    return round(1 - share, 12)


def _failure(table: str, result: ExpectationValidationResult) -> Failure:
    config, details = result.expectation_config, result.result
    if config is None or not details:  # the table has no such column: a mistake of this program, not of the data
        raise RuntimeError(f"{table}: {result.exception_info}")
    column = str(config.kwargs["column"])
    values = details["partial_unexpected_list"]
    if column == "content":
        values = [digest[:7] for digest in values]  # as git shows one
    texts = dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    of_images = table != WHOLE_SET
    return Failure(
        table=table,
        column=column,
        expected=_expected(config.type, config.kwargs),
        observed=", ".join(list(texts)[:VALUES]),
        count=details["unexpected_count"] if of_images else None,
        examples=tuple(details["partial_unexpected_index_list"]) if of_images else (),
    )


def _expected(kind: str, arguments: Mapping[str, Any]) -> str:
    if kind == "expect_column_values_to_be_unique":
        text = "no value twice"
    elif kind == "expect_column_values_to_be_in_set":
        text = f"{arguments['value_set'][0]} to {arguments['value_set'][-1]}"
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
