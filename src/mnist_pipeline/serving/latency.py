"""How long onnxruntime, in float32 and in INT8, and eager PyTorch take for a batch, on one thread each.

On more, each keeps threads that wait for work, and they hold each other up.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from mnist_pipeline.serving.onnx_export import ServedClassifier

BATCH_SIZES = (1, 256)
WARM_UP = 5


def measure_latency(
    served: ServedClassifier,
    session: InferenceSession,
    int8: InferenceSession,
    images: NDArray[np.uint8],
    repeats: int,
) -> dict[str, float]:
    """Median milliseconds from raw images to logits and probabilities, of sessions on one thread of the CPU.

    For each batch size N: `latency_ms/batch_N/onnxruntime`, `latency_ms/batch_N/pytorch`, and their quotient
    `latency_ratio/batch_N`, which is below 1 where onnxruntime is faster; `int8/latency_ms/batch_N`, and its quotient
    by onnxruntime's in float32, `int8/latency_ratio/batch_N`.
    """
    timings: dict[str, float] = {}
    for size in BATCH_SIZES:
        batch = np.resize(images, (size, *images.shape[1:]))
        contenders: dict[str, Callable[[], object]] = {
            "onnxruntime": partial(session.run, None, {"image": batch}),
            "pytorch": partial(served, torch.tensor(batch)),
            "int8": partial(int8.run, None, {"image": batch}),
        }
        with torch.inference_mode(), _one_thread():
            medians = _interleaved_medians(contenders, repeats)
        for name in ("onnxruntime", "pytorch"):
            timings[f"latency_ms/batch_{size}/{name}"] = medians[name]
        timings[f"latency_ratio/batch_{size}"] = medians["onnxruntime"] / medians["pytorch"]
        timings[f"int8/latency_ms/batch_{size}"] = medians["int8"]
        timings[f"int8/latency_ratio/batch_{size}"] = medians["int8"] / medians["onnxruntime"]
    return timings


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _interleaved_medians(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each contender; they take turns, so that a busy moment of the machine hits all."""
    milliseconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(WARM_UP + repeats):
        for name, compute in contenders.items():
            start = perf_counter()
            compute()
            elapsed = perf_counter() - start
            if turn >= WARM_UP:
                milliseconds[name].append(elapsed * 1000)
    return {name: median(values) for name, values in milliseconds.items()}
