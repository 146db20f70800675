"""What Great Expectations asks of the images; the only module that knows it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation

from mnist_pipeline.data.catalog import IMAGE_SIZE
from mnist_pipeline.data.dataset import SplitName
from mnist_pipeline.params import Suite
from mnist_pipeline.validation.agreement import CONTRADICTED
from mnist_pipeline.validation.neighbours import NEAR

EXAMPLES = 8
"""How many offending images a failure names."""
VALUES = 3
"""How many of their values it shows."""
DIGEST_START = 7
"""How much of a digest it shows, as git does."""
WHOLE_SET = "whole set"


@dataclass(frozen=True)
class Failure:
    """An expectation that was not met.

    `table` is a split or the whole set, `column` what was looked at. `rows` counts the images that broke it, and
    `examples` are the first of them, by their place in the split; a fact of the whole set has neither.
    """

    column: str
    table: str
    expected: str
    observed: str
    rows: int | None
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Judgement:
    """How many expectations were asked, and which were not met."""

    expectations: int
    failures: tuple[Failure, ...]


def judge(
    tables: Mapping[SplitName, pd.DataFrame], facts: Mapping[str, Any], suite: Suite, data_docs: Path
) -> Judgement:
    """Asks every expectation of the suite; Great Expectations tells of the answers in the folder `data_docs`."""
    context = _quiet_context(data_docs)
    asked: dict[str, tuple[pd.DataFrame, list[Expectation]]] = {
        name: (table, image_expectations(suite)) for name, table in tables.items()
    }
    asked[WHOLE_SET] = (facts_table(facts, suite), whole_set_expectations(suite))
    failures: list[Failure] = []
    count = 0
    for name, (table, expectations) in asked.items():
        results = _validate(context, name, table, expectations)
        count += len(results)
        failures += [_failure(name, result) for result in results if not result.success]
    context.build_data_docs()
    return Judgement(count, tuple(failures))


def image_expectations(suite: Suite) -> list[Expectation]:
    """Of the table of one split, where each row is an image."""
    mostly = _all_but(suite.max_outlier_share)
    return [
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(suite.classes))),
        gxe.ExpectColumnValuesToBeBetween(column="height", min_value=IMAGE_SIZE, max_value=IMAGE_SIZE),
        gxe.ExpectColumnValuesToBeBetween(column="width", min_value=IMAGE_SIZE, max_value=IMAGE_SIZE),
        gxe.ExpectColumnValuesToBeBetween(
            column="std", min_value=0, strict_min=True, mostly=_all_but(suite.max_blank_share)
        ),
        gxe.ExpectColumnValuesToBeUnique(column="content", mostly=_all_but(suite.max_duplicate_share)),
        gxe.ExpectColumnValuesToBeBetween(
            column="nearest", min_value=NEAR, strict_min=True, mostly=_all_but(suite.max_duplicate_share)
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="contradiction", max_value=CONTRADICTED, mostly=_all_but(suite.max_contradicted_share)
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, mostly=mostly)
            for column, (low, high) in {
                "max": suite.brightest,
                "sharpness": (suite.min_sharpness, None),
                "roughness": suite.roughness,
                "ink_fraction": suite.ink_fraction,
                "box_side": suite.box_side,
                "centre_distance": (0, suite.max_centre_distance),
            }.items()
        ),
    ]


def _all_but(share: float) -> float:
    """The share that remains, rounded: 1 - 0.059 is a little more than 0.941."""
    return round(1 - share, 12)


def whole_set_expectations(suite: Suite) -> list[Expectation]:
    """Of the table that `facts_table` makes, which has one row."""
    asked: list[Expectation] = []
    for split, counts, least in (
        ("train", suite.train_counts, suite.train_min_per_class),
        ("test", suite.test_counts, suite.test_min_per_class),
    ):
        for name, bounds in {
            "pixel_mean": suite.pixel_mean,
            "pixel_std": suite.pixel_std,
            "box_aspect": suite.box_aspect,
            "grey_levels": suite.grey_levels,
            "few_grey_levels": suite.few_grey_levels,
            "agreement": (suite.min_agreement, 1),
            "centroid_accuracy": (suite.min_centroid_accuracy, 1),
        }.items():
            asked.append(_between(f"{split}/{name}", *bounds))
        for label in range(suite.classes):
            low, high = (counts[label], counts[label]) if counts else (least, None)
            asked.append(_between(f"{split}/count/{label}", low, high))
        if not counts:
            asked.append(_between(f"{split}/class_ratio", 1, suite.max_class_ratio))
    return [*asked, _between("test images that stand in train, share", 0, suite.max_duplicate_share)]


def facts_table(facts: Mapping[str, Any], suite: Suite) -> pd.DataFrame:
    """The facts as one row; a class without images counts 0, and as 1 in the ratio of the largest to the smallest."""
    row: dict[str, float] = {}
    for split in ("train", "test"):
        counts = [facts[split]["count"].get(str(label), 0) for label in range(suite.classes)]
        row |= {f"{split}/{name}": value for name, value in facts[split].items() if name != "count"}
        row |= {f"{split}/count/{label}": count for label, count in enumerate(counts)}
        row[f"{split}/class_ratio"] = max(counts) / max(1, min(counts))
    row["test images that stand in train, share"] = facts["duplicates_across"] / facts["test"]["images"]
    return pd.DataFrame([row])


def _between(column: str, low: float, high: float | None) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def _quiet_context(data_docs: Path) -> EphemeralDataContext:
    """A context that lives in memory and draws no bars; its Data Docs go into an empty folder."""
    shutil.rmtree(data_docs, ignore_errors=True)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    index = {"class_name": "DefaultSiteIndexBuilder"}
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(data_docs.absolute())}
    context.add_data_docs_site(
        "gate", {"class_name": "SiteBuilder", "store_backend": backend, "site_index_builder": index}
    )
    return context


def _validate(
    context: EphemeralDataContext, name: str, table: pd.DataFrame, expectations: Sequence[Expectation]
) -> list[ExpectationValidationResult]:
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name)
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(expectations)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES},
        )
    )
    (result,) = checkpoint.run(batch_parameters={"dataframe": table}).run_results.values()
    return list(result.results)


def _failure(table: str, result: ExpectationValidationResult) -> Failure:
    config = result.expectation_config
    assert config is not None  # a result of a suite has the expectation that it answers
    details = result.result or {}
    values = details.get("partial_unexpected_list") or _exception_messages(result)
    of_images = table != WHOLE_SET
    return Failure(
        column=str(config.kwargs["column"]),
        table=table,
        expected=_expected(config.type, config.kwargs),
        observed=_observed(str(config.kwargs["column"]), values),
        rows=details.get("unexpected_count") if of_images else None,
        examples=tuple(details.get("partial_unexpected_index_list") or ()) if of_images else (),
    )


def _observed(column: str, values: Sequence[Any]) -> str:
    """The first of the values, each once."""
    if column == "content":
        values = [value[:DIGEST_START] for value in values]
    texts = dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return ", ".join(list(texts)[:VALUES])


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


def _exception_messages(result: ExpectationValidationResult) -> list[str]:
    """Each message once: Great Expectations gives one for every metric that it could not compute."""
    info = result.exception_info or {}
    infos = [info] if "exception_message" in info else [item for item in info.values() if isinstance(item, Mapping)]
    return list(dict.fromkeys(str(item.get("exception_message")) for item in infos))
