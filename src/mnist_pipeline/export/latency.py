"""How long onnxruntime, in float32 and in INT8, and eager PyTorch take for a batch, on one thread each.

On more, each keeps threads that wait for work, and they hold each other up.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_pipeline.export.onnx_file import ServedClassifier

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH_SIZES = {1: "", 256: "_batch_256"}  # the ending of their names for each number of images
WARM_UP = 5


@torch.inference_mode()
def measure_latency(
    served: ServedClassifier,
    float32: "InferenceSession",
    int8: "InferenceSession",
    images: NDArray[np.uint8],
    repeats: int,
) -> dict[str, float]:
    """Median milliseconds from raw images to logits and probabilities, and their quotients.

    Those of onnxruntime in float32 have no prefix. For 256 images, the names end in `_batch_256`.
    """
    timings: dict[str, float] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for size, ending in BATCH_SIZES.items():
            batch = np.resize(images[:size], (size, *images.shape[1:]))
            batch = batch[..., 0] if batch.shape[3] == 1 else batch
            contenders: list[Callable[[], object]] = [
                partial(float32.run, None, {"image": batch}),
                partial(served, torch.tensor(batch)),
                partial(int8.run, None, {"image": batch}),
            ]
            measured = np.zeros((WARM_UP + repeats, 3))
            for turn in measured:  # they take turns, so that a busy moment of the machine slows all
                for number, compute in enumerate(contenders):
                    start = perf_counter()
                    compute()
                    turn[number] = 1000 * (perf_counter() - start)
            onnxruntime, pytorch, quantized = np.median(measured[WARM_UP:], axis=0).tolist()
            timings |= {
                f"latency_ms{ending}": onnxruntime,
                f"pytorch_latency_ms{ending}": pytorch,
                f"int8_latency_ms{ending}": quantized,
                f"latency_ratio{ending}": onnxruntime / pytorch,
                f"int8_latency_ratio{ending}": quantized / onnxruntime,
            }
    finally:
        torch.set_num_threads(threads)
    return timings
