"""An exported network, ready to run; other files and images are a `PipelineError`."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Json, model_validator

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.32 writes an identifier into the home folder

import onnxruntime

from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.data.dataset import batch_size
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_file

OLDEST_ONNXRUNTIME = "1.15.0"  # the first that runs on Python 3.11; `tests/system` runs the networks in it
MOST_PIXELS = 2**24
OUTPUTS = ["logits", "probabilities"]
_module = vars(onnxruntime.capi.onnxruntime_pybind11_state)  # whose errors have no base in common
ONNXRUNTIME_ERRORS = tuple(kind for kind in _module.values() if getattr(kind, "__base__", None) is Exception)


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session of onnxruntime for the bytes of an ONNX file, on one thread of the CPU.

    One thread gives the same sums whatever the number of cores, and times that can be compared.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # fatal errors alone: the others are raised too
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def input_batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Images `[N, height, width, channels]` as an exported network takes them, which for one channel is without it."""
    fed, size = images[..., 0] if images.shape[3] == 1 else images, batch_size(images.shape)
    return (fed[start : start + size] for start in range(0, len(fed), size))


def logits(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits `[N, classes]` of any number of raw images `[N, height, width, channels]`."""
    return np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in input_batches(images)])


def energy(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The energy score `[N]` of logits `[N, classes]`: -log Σ exp(logit), high for out-of-distribution inputs.

    Liu et al. (2020), "Energy-based out-of-distribution detection", NeurIPS 33.
    """
    result: NDArray[np.float64] = -np.logaddexp.reduce(logits.astype(np.float64), axis=1)
    return result


def energy_bound(logits: NDArray[np.float32]) -> float:
    """The energy that 99.5 % of the training images stay below, from their logits `[N, classes]`."""
    return round(float(np.quantile(energy(logits), 0.995)), 3)


class Metadata(BaseModel):
    """The metadata of an exported network, in whose file each value is text."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    model: str
    label_names: Json[list[str]]
    energy_bound: float
    picture: Json[dict[str, str]]  # how a picture becomes an image, see `data.picture`

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_files(cls, texts: dict[str, str]) -> dict[str, Any]:
        """Earlier files have the bound with its sign turned, and were all trained on images like MNIST's."""
        earlier: dict[str, Any] = {"picture": json.dumps(STROKES)}
        if "least_familiarity" in texts:
            earlier["energy_bound"] = -float(texts["least_familiarity"])
        return {**earlier, **texts}


@dataclass(frozen=True)
class Network:
    """A network for images of `image_shape` (height, width, channels), and its metadata."""

    session: onnxruntime.InferenceSession
    metadata: Metadata
    image_shape: tuple[int, int, int]

    def classify(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The probabilities `[N, classes]` for raw images, and which of them `[N]` are out of distribution."""
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape or len(images) == 0:
            expected = f"uint8 [N, {', '.join(map(str, self.image_shape))}]"
            raise PipelineError(
                f"{self.metadata.model}: expected at least one image, as {expected}, not {images.dtype} {images.shape}"
            )
        batches = [self.session.run(OUTPUTS, {"image": batch}) for batch in input_batches(images)]
        logits, probabilities = (np.concatenate(outputs) for outputs in zip(*batches, strict=True))
        return probabilities, energy(logits) > self.metadata.energy_bound


def open_network(path: Path) -> Network:
    """The network in an ONNX file that the export stage wrote, after a run on blank images."""
    content = read_file(path, "run dvc repro, or dvc pull")
    try:
        session = open_session(content)
        metadata = Metadata.model_validate(session.get_modelmeta().custom_metadata_map)
        (name, kind, *sizes), *others = [(each.name, each.type, *each.shape[1:]) for each in session.get_inputs()]
        if others or (name, kind) != ("image", "tensor(uint8)") or [*map(type, sizes)] not in ([int] * 2, [int] * 3):
            raise ValueError(f"input {name}, {kind} {sizes}; expected an image, uint8 [height, width] or with channels")
        shape = (*sizes, 1)[:3]
        if not 0 < prod(shape) <= MOST_PIXELS:
            raise ValueError(f"images of {shape}")
        outputs = session.run(OUTPUTS, {"image": np.zeros((2, *sizes), np.uint8)})
        expected = f"float32 {(2, len(metadata.label_names))}"
        for name, output in zip(OUTPUTS, map(np.asarray, outputs), strict=True):
            if f"{output.dtype} {output.shape}" != expected or not np.isfinite(output).all():
                raise ValueError(f"{name} of two images: {output.dtype} {output.shape}; expected {expected}, finite")
    except (*ONNXRUNTIME_ERRORS, ValueError) as error:  # an invalid value, also one that is not UTF-8, is the last
        raise PipelineError(f"{path}: no ONNX file of this pipeline ({one_line(error)}): run dvc repro") from error
    return Network(session, metadata, shape)
