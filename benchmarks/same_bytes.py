"""Which circumstances change the bytes of the trained weights, on this machine; a table of the page on it.

    python benchmarks/same_bytes.py
    python benchmarks/same_bytes.py --publish

Each training is the stage in a process and a folder of its own, two epochs with the parameters of `params.yaml`. oneDNN
and PyTorch have switches that make them leave out instructions of the processor, as an older one would.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from report import measure_or_publish, table

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SSE4 = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
CIRCUMSTANCES: dict[str, tuple[str | None, Mapping[str, str]]] = {  # the precision, and environment variables
    "the same again": (None, {}),
    "one thread": (None, {"OMP_NUM_THREADS": "1"}),
    "float32 in all products": ("float32", {}),
    "no AVX-512, and so float32": ("float32", AVX2),
    "no AVX2, and so float32": ("float32", SSE4),
}
MODELS = ("lenet", "mlp")
EPOCHS = 2


def measure() -> dict[str, Any]:
    first = {model: trained(model, None, {}) for model in MODELS}
    found: dict[str, Any] = {name: {} for name in CIRCUMSTANCES}
    for name, circumstances in CIRCUMSTANCES.items():
        for model, (first_digest, first_accuracy) in first.items():
            digest, accuracy = trained(model, *circumstances)
            found[name][model] = {"same": digest == first_digest, "points": 100 * (accuracy - first_accuracy)}
    return found


def trained(model: str, precision: str | None, variables: Mapping[str, str]) -> tuple[str, float]:
    """The digest of the weights and the validation accuracy."""
    from mnist_pipeline import paths
    from mnist_pipeline.files import read_json
    from mnist_pipeline.formats import file_digest

    params = YAML().load(paths.PARAMS)
    params["train"][model] |= {"epochs": EPOCHS} | ({"precision": precision} if precision else {})
    with TemporaryDirectory() as name:
        folder = Path(name)
        for needed in (paths.RAW, paths.CLASSES, paths.VERDICT):
            (folder / needed).parent.mkdir(parents=True, exist_ok=True)
            (folder / needed).symlink_to(needed.resolve())
        shutil.copy("dvc.yaml", folder)
        YAML().dump(params, folder / paths.PARAMS)
        environment = os.environ | {"OMP_NUM_THREADS": "2", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        command = [sys.executable, Path("src/mnist_pipeline").resolve(), "train", model]
        subprocess.run(command, cwd=folder, env=environment | variables, check=True)
        report = read_json(folder / paths.report("train", model) / "metrics.json")
        return file_digest(folder / paths.weights(model), "sha256"), report["validation_accuracy"]


def tables(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    rows: list[list[str]] = []
    for name, models in found.items():
        rows.append([name])
        for one in models.values():
            rows[-1] += ["the same" if one["same"] else "others", f"{one['points']:+.2f}"]
    columns = [text for model in MODELS for text in (f"{model}, bytes", "validation accuracy, points")]
    return {"same bytes": table(["", *columns], rows)}


if __name__ == "__main__":
    measure_or_publish("same_bytes", measure, tables)
