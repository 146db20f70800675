"""Which circumstances change the bytes of the trained weights, on this machine; a table of the page on it.

    python benchmarks/same_bytes.py

Each training runs in a process of its own, two epochs with the default parameters. oneDNN and PyTorch have switches
that make them leave out instructions of the processor, which shows what an older one would compute.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import table, write_in_pages

THREADS, PRECISION = "TRAINING_THREADS", "TRAINING_PRECISION"
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SSE4 = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
CIRCUMSTANCES: dict[str, Mapping[str, str]] = {
    "the same again": {},
    "one thread": {THREADS: "1"},
    "float32 in all products": {PRECISION: "float32"},
    "no AVX-512, and so float32": {PRECISION: "float32", **AVX2},
    "no AVX2, and so float32": {PRECISION: "float32", **SSE4},
}
MODELS = ("lenet", "mlp")
EPOCHS = 2
RESULTS = Path(__file__).parent / "results/same_bytes.json"


def main() -> None:
    if sys.argv[1:]:
        sys.stdout.write(json.dumps(trained(sys.argv[1])))
        return
    first = {model: measured(model, {}) for model in MODELS}
    found = {}
    for name, environment in CIRCUMSTANCES.items():
        others = {model: measured(model, environment) for model in MODELS}
        found[name] = {model: compared(first[model], other) for model, other in others.items()}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    write_in_pages(tables(found))


def compared(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {"same": other["digest"] == first["digest"], "points": 100 * (other["accuracy"] - first["accuracy"])}


def tables(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    rows = []
    for name, models in found.items():
        cells = [("the same" if one["same"] else "others", f"{one['points']:+.2f}") for one in models.values()]
        rows.append([name, *(text for cell in cells for text in cell)])
    columns = [text for model in MODELS for text in (f"{model}, bytes", "validation accuracy, points")]
    return {"same bytes": table(["", *columns], rows)}


def measured(model: str, environment: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, model]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def trained(model: str) -> dict[str, Any]:
    from mnist_pipeline.cli import set_environment

    set_environment()
    import torch
    from safetensors.torch import save

    from mnist_pipeline.params import load_params
    from mnist_pipeline.stages.train import prepare
    from mnist_pipeline.tasks.changes import with_training

    torch.set_num_threads(int(os.environ.get(THREADS, "2")))
    params = load_params()
    changes = {"epochs": EPOCHS, "precision": os.environ.get(PRECISION, params.training(model).precision)}
    setup = prepare(with_training(params, model, changes), model, torch.device("cpu"))
    accuracy = list(setup.epochs())[-1].validation_accuracy
    state = {name: tensor.contiguous() for name, tensor in setup.classifier.network.state_dict().items()}
    return {"digest": hashlib.sha256(save(state)).hexdigest(), "accuracy": accuracy}


if __name__ == "__main__":
    main()
