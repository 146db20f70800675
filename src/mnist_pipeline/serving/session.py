"""An exported network, ready to run."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

BATCH_SIZE = 1000


def open_session(network: bytes) -> onnxruntime.InferenceSession:
    """A session of onnxruntime for the bytes of an ONNX file, on one thread of the CPU.

    One thread gives the same sums whatever the number of cores, and times that can be compared.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def predict(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The predicted label `int64 [N]` of each raw image `[N, height, width]`."""
    batches = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
    labels = [session.run(["logits"], {"image": batch})[0].argmax(1) for batch in batches]
    return np.concatenate(labels)
