"""The rows of comparisons: one for the same models, settings and numbers, in an experiment of their own.

Not in the rows of the models: the same weights are compared with many others, and each time the numbers would change.
"""

from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.data_rows import add_once
from mnist_pipeline.tracking.store import Store, open_experiment


def add_comparison_row(store: Store, version: Version, part: Part, source: str) -> bool:
    """Writes the row of a comparison, unless there is one that shows the same; says whether it did."""
    experiment = open_experiment(store, f"{store.name}-comparisons")
    name = " ".join(part.params[model] for model in version.values["models"])
    return add_once(store, experiment, name, {"dvc.md5": part.md5}, version, part, "FINISHED", source)
