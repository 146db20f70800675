"""An exported network, ready to run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.serving.batches import in_batches
from mnist_pipeline.serving.novelty import familiarity

OLDEST_ONNXRUNTIME = "1.15.0"
"""The first release that runs on Python 3.11; `tests/system` runs the networks in it."""
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


def logits(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits `[N, classes]` of any number of raw images `[N, height, width]`."""
    return in_batches(lambda batch: session.run(["logits"], {"image": batch})[0], images)


def predict(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The predicted label `int64 [N]` of each raw image `[N, height, width]`."""
    labels: NDArray[np.int64] = logits(session, images).argmax(1)
    return labels


@dataclass(frozen=True)
class Network:
    """A network and what its file says of it."""

    session: onnxruntime.InferenceSession
    name: str
    label_names: tuple[str, ...]
    least_familiarity: float

    def ask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The probability of each label `[N, classes]` for raw images, and whether each is like the training images.

        Raises:
            PipelineError: the images are not `uint8 [N, height, width]` of the network's size, or there is none.
        """
        self._demand_images(images)
        both = in_batches(self._logits_and_probabilities, images)
        return both[:, 1], familiarity(both[:, 0]) >= self.least_familiarity

    def _demand_images(self, images: NDArray[np.uint8]) -> None:
        height, width = self.session.get_inputs()[0].shape[1:]
        if images.dtype != np.uint8 or images.shape[1:] != (height, width) or len(images) == 0:
            raise PipelineError(
                f"{self.name} takes at least one image, as uint8 [N, {height}, {width}], "
                f"not {images.dtype} {list(images.shape)}"
            )

    def _logits_and_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`[N, 2, classes]`."""
        return np.stack(self.session.run(["logits", "probabilities"], {"image": images}), axis=1)


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
