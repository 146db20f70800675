"""An exported network, ready to run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.serving.novelty import familiarity

BATCH_SIZE = 1000
_errors = onnxruntime.capi.onnxruntime_pybind11_state
REFUSALS = (
    _errors.Fail,
    _errors.InvalidProtobuf,
    _errors.InvalidGraph,
    _errors.InvalidArgument,
    _errors.NotImplemented,
)
"""What onnxruntime raises of a file that it cannot run; they have no base in common."""


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


@dataclass(frozen=True)
class Network:
    """A network and what its file says of it."""

    session: onnxruntime.InferenceSession
    name: str
    label_names: tuple[str, ...]
    least_familiarity: float

    def ask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The probability of each label `[N, classes]` for raw images, and whether each is like the training images."""
        logits, probabilities = self.session.run(["logits", "probabilities"], {"image": images})
        return probabilities, familiarity(logits) >= self.least_familiarity


def open_network(path: Path) -> Network:
    """The network in an ONNX file that the export stage wrote.

    Raises:
        PipelineError: the file cannot be read, or is none.
    """
    try:
        session = open_session(path.read_bytes())
        said = session.get_modelmeta().custom_metadata_map
        names = tuple(json.loads(said["label_names"]))
        return Network(session, said["model"], names, float(said["least_familiarity"]))
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from error
    except (*REFUSALS, KeyError, ValueError) as error:
        raise PipelineError(f"{path}: no ONNX file of this pipeline ({in_one_line(error)}): run dvc repro") from error
