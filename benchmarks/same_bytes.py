"""Which circumstances change the bytes of the trained weights, on this machine; a Markdown table.

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

from report import table

THREADS = "TRAINING_THREADS"
CIRCUMSTANCES: dict[str, Mapping[str, str]] = {
    "the same again": {},
    "one thread": {THREADS: "1"},
    "no AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "no AVX2": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
MODELS = ("lenet", "mlp")


def main() -> None:
    if sys.argv[1:]:
        sys.stdout.write(json.dumps(trained(sys.argv[1])))
        return
    first = {model: measured(model, {}) for model in MODELS}
    rows = []
    for name, environment in CIRCUMSTANCES.items():
        cells = [name]
        for model in MODELS:
            other = measured(model, environment)
            cells.append("the same bytes" if other["digest"] == first[model]["digest"] else "other bytes")
            cells.append(f"{other['accuracy'] - first[model]['accuracy']:+.2%}")
        rows.append(cells)
    columns = [cell for model in MODELS for cell in (model, "validation accuracy")]
    sys.stdout.write(table(["", *columns], rows) + "\n")


def measured(model: str, environment: Mapping[str, str]) -> dict[str, float | str]:
    command = [sys.executable, __file__, model]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, float | str] = json.loads(done.stdout)
    return result


def trained(model: str) -> dict[str, float | str]:
    from mnist_pipeline.cli import set_environment

    set_environment()
    import torch
    from safetensors.torch import save

    from mnist_pipeline.params import load_params, with_training
    from mnist_pipeline.stages.train import prepare

    torch.set_num_threads(int(os.environ.get(THREADS, "2")))
    setup = prepare(with_training(load_params(), model, {"epochs": 2}), model, torch.device("cpu"))
    accuracy = list(setup.epochs())[-1].validation_accuracy
    state = {name: tensor.contiguous() for name, tensor in setup.classifier.network.state_dict().items()}
    return {"digest": hashlib.sha256(save(state)).hexdigest(), "accuracy": accuracy}


if __name__ == "__main__":
    main()
