"""Which labels of a data set may be wrong, told by the answers of several models that never saw them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def missed_by_all(predictions: Mapping[str, pd.DataFrame], significance: float) -> pd.DataFrame:
    """The images that no model has right: suspected label errors first, then the most confident mistakes.

    `predictions` has a table for each model, by its name, with the columns image, label, predicted and confidence; a
    row of one is of the same image as that of another. The result has each model's answer and confidence, and
    - `suspected_label`: the label that all models suggest in the place of the image's own, or nothing.
    - `usual_for_label`: the share of the images with its own label whose answers suit that label no better than the
      image's do, by the model that finds the largest.
    - `usual_for_answer`: the same of the label that it is given, by the model that finds the smallest.

    A label is suspected where all models give the same other one, for its own label the image is less usual than
    `significance`, and for the other not. Such shares are the p-values of a conformal predictor for each label: Vovk
    (2012), "Conditional validity of inductive conformal predictors", ACML. Its guarantee is not claimed here: an image
    is compared with a set that it is in itself, and chosen for being missed. But a model that often takes a label for
    another suspects nothing of that.
    """
    tables = list(predictions.values())
    first = tables[0]
    missed = np.logical_and.reduce([table["label"] != table["predicted"] for table in tables])
    agreed = np.logical_and.reduce([table["predicted"] == first["predicted"] for table in tables])
    own = np.max([_share_below(table, table["label"]) for table in tables], axis=0)
    other = np.min([_share_below(table, table["predicted"]) for table in tables], axis=0)
    suspected = agreed & (own < significance) & (other >= significance)
    answers = {
        f"{name}_{column}": table[column]
        for name, table in predictions.items()
        for column in ("predicted", "confidence")
    }
    labels = first[["image", "label"]].assign(
        suspected_label=np.where(suspected, first["predicted"], ""),
        usual_for_label=own,
        usual_for_answer=other,
        **answers,
    )
    confidence = np.mean([table["confidence"] for table in tables], axis=0)
    order = np.lexsort((-confidence, ~suspected))
    found: pd.DataFrame = labels.iloc[order[missed[order]]].reset_index(drop=True)
    return found


def _share_below(table: pd.DataFrame, claimed: pd.Series) -> NDArray[np.float64]:
    """The share of the images with the claimed label whose answers suit it no better than the image's own does.

    An answer suits its own label the better, any other label the worse, the more confident it is. A label that no image
    has suits none.
    """
    suits = {label: np.sort(_fit(part, part["label"])) for label, part in table.groupby("label")}
    fit = _fit(table, claimed)
    shares = np.zeros(len(table))
    for label, others in suits.items():
        asked = (claimed == label).to_numpy()
        shares[asked] = np.searchsorted(others, fit[asked], side="right") / len(others)
    return shares


def _fit(table: pd.DataFrame, claimed: pd.Series) -> NDArray[np.float64]:
    return np.where(table["predicted"] == claimed, table["confidence"], -table["confidence"])
