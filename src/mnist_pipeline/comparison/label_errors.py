"""Which labels of a data set may be wrong, by the predictions of several models that were not trained on them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def missed_by_all(predictions: Mapping[str, pd.DataFrame], significance: float) -> pd.DataFrame:
    """The images that no model has right: suspected label errors first, then the most confident mistakes.

    `predictions` has a table for each model, by its name, with the columns image, label, predicted and confidence, and
    the same images in the same order. The result has each model's prediction and confidence, and
    - `suspected_label`: the label that all models suggest in the place of the image's own, or nothing.
    - `usual_for_label`: the share of the images with its own label whose predictions fit that label no better than the
      image's does, by the model with the largest.
    - `usual_for_answer`: the same of the predicted label, by the model with the smallest.

    A label is suspected where all models predict the same other one, `usual_for_label` is below `significance`, and
    `usual_for_answer` is not: where a model often takes a label for another, none is suspected for that. Such shares
    are the p-values of a conformal predictor for each label, but for its guarantee, as an image is in the set that it
    is compared with: Vovk (2012), "Conditional validity of inductive conformal predictors", ACML.
    """
    first, *_ = tables = list(predictions.values())
    missed = np.logical_and.reduce([table["label"] != table["predicted"] for table in tables])
    agreed = np.logical_and.reduce([table["predicted"] == first["predicted"] for table in tables])
    own = np.max([_share_below(table, table["label"]) for table in tables], axis=0)
    other = np.min([_share_below(table, table["predicted"]) for table in tables], axis=0)
    suspected = agreed & (own < significance) & (other >= significance)
    found = first[["image", "label"]].assign(
        suspected_label=np.where(suspected, first["predicted"], ""), usual_for_label=own, usual_for_answer=other
    )
    for name, table in predictions.items():
        found[[f"{name}_predicted", f"{name}_confidence"]] = table[["predicted", "confidence"]]
    order = np.lexsort((-np.mean([table["confidence"] for table in tables], axis=0), ~suspected))
    return pd.DataFrame(found.iloc[order[missed[order]]]).reset_index(drop=True)


def _share_below(table: pd.DataFrame, claimed: pd.Series) -> NDArray[np.float64]:
    """For each image, the share of the images with its claimed label whose prediction fits that label no better.

    A prediction fits its own label the better, any other label the worse, the more confident it is. A label that no
    image has fits none.
    """
    claimed_fit, own_fit = (
        np.where(table["predicted"] == label, table["confidence"], -table["confidence"])
        for label in (claimed, table["label"])
    )
    shares = np.zeros(len(table))
    for label, places in table.groupby("label").indices.items():
        here = (claimed == label).to_numpy()
        shares[here] = np.searchsorted(np.sort(own_fit[places]), claimed_fit[here], side="right") / len(places)
    return shares
