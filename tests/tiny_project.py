"""A tiny project: real git, DVC and MLflow, but stages that run nothing and networks that are matrices."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from dvc.repo import Repo
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from mnist_pipeline import paths
from mnist_pipeline.commands import promote
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.formats import file_digest
from mnist_pipeline.params import Params
from mnist_pipeline.tracking.onnx_model import log_onnx_model
from mnist_pipeline.tracking.store import Store, open_store

MODEL = "mlp"
ONNX, WEIGHTS, DETAILS = paths.onnx(MODEL), paths.weights(MODEL), paths.report("export", MODEL) / "details.json"
FINDINGS = paths.report("evaluate", MODEL) / "findings.md"
PIPELINE = """
stages:
  download: {cmd: "true", outs: [data/raw]}
  train: &train
    matrix: {model: [mlp]}
    cmd: "true"
    params: [train.seed]
    deps: [data/raw]
    outs: ["models/${item.model}/weights.safetensors"]
  evaluate:
    <<: *train
    deps: ["models/${item.model}/weights.safetensors"]
    outs: ["reports/evaluate/${item.model}/findings.md"]
  export:
    <<: *train
    deps: ["models/${item.model}/weights.safetensors"]
    outs: ["models/${item.model}/model.onnx", "reports/export/${item.model}/details.json"]
  card:
    <<: *train
    deps: ["reports/evaluate/${item.model}/findings.md"]
    outs: ["reports/card/${item.model}/model_card.md"]
"""
REMOTE = "[core]\n  remote = storage\n  analytics = false\n['remote \"storage\"']\n  url = ../../remote\n"


def run_git(*arguments: str, folder: Path | str = ".") -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def matrix(seed: int = 0) -> NDArray[np.float32]:
    """Weights of a good classifier: the mean image of each class, and a little noise by the seed."""
    split = load_split(paths.RAW, "train")
    images = split.images.reshape(len(split), -1) / 255
    means = np.stack([images[split.labels == label].mean(0) for label in range(10)])
    noise = np.random.default_rng(seed).normal(scale=1e-6, size=means.shape)
    weights: NDArray[np.float32] = ((means - means.mean(0)) / np.linalg.norm(means, axis=1)[:, None] + noise).T
    return weights.astype(np.float32)


def network(weights: NDArray[np.float32]) -> onnx.ModelProto:
    """Raw pixels to logits by one matrix."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])
    names = ("logits", "probabilities")
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 10]) for name in names]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    labels = json.dumps([f"label {label}" for label in range(10)])
    helper.set_model_props(model, {"model": MODEL, "label_names": labels})
    return model


@dataclass
class TinyProject:
    """A project in the working folder."""

    params: Params

    def start(self, data: Path, params: Path, store: Path) -> None:
        with Repo.init(".", subdir=not Path(".git").exists()):
            Path(".dvc/config").write_text(REMOTE)
        Path("dvc.yaml").write_text(PIPELINE)
        Path(".gitignore").write_text("/mlruns*\n/data\n/models\n/reports\n/.cache\n")
        Path("mlruns").mkdir()
        shutil.copy(params, "params.yaml")
        shutil.copy(store, "mlruns/mlflow.db")
        shutil.copytree(data, paths.RAW)

    def write(self, weights: NDArray[np.float32]) -> str:
        """All files that the stages would write; returns the MD5 of the ONNX file."""
        for file in (WEIGHTS, ONNX, DETAILS, FINDINGS, paths.model_card(MODEL), paths.VERDICT):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # it may be a link into DVC's cache
        save_file({"weights": weights}, WEIGHTS)
        onnx.save(network(weights), ONNX)
        DETAILS.write_text(json.dumps({"differing_predictions": 0, "max_logit_difference": 1e-6}))
        FINDINGS.write_text(f"# Findings {weights[0]}")
        paths.model_card(MODEL).write_text(f"# A card\n{weights[0]}")
        paths.VERDICT.write_text(json.dumps({"passed": True}))
        return file_digest(ONNX, "md5")

    def train(self, weights: NDArray[np.float32]) -> str:
        """A result that DVC and git have and MLflow shows; returns the MD5 of the ONNX file."""
        md5 = self.write(weights)
        with Repo() as repo:
            repo.commit(force=True)
        run_git("add", "--all", ".")
        run_git("commit", "--quiet", "--message", "Trained")
        self.show()
        return md5

    def show(self) -> None:
        """Shows the present weights and network in MLflow."""
        tags = {"dvc.md5": file_digest(WEIGHTS, "md5"), "source": "sync"}
        run = self.store.client.create_run(self.store.models, run_name=MODEL, tags=tags)
        self.store.client.log_param(run.info.run_id, "epochs", 2)
        log_onnx_model(self.store.client, run.info.run_id, MODEL, ONNX)

    @property
    def store(self) -> Store:
        return open_store(self.params.tracking.experiment)

    def promote(self) -> None:
        promote.run(self.params, MODEL, "minor")

    def roll_back(self) -> None:
        promote.roll_back(self.params, MODEL)

    def registry(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """The MD5 of each alias, and the tag and the MD5 of each version."""
        client = self.store.client
        if not client.search_registered_models(f"name = '{MODEL}'"):
            return {}, []
        versions = {str(found.version): found.tags for found in client.search_model_versions(f"name = '{MODEL}'")}
        aliases = client.get_registered_model(MODEL).aliases
        listed = sorted((tags["git.tag"], tags["dvc.md5"]) for tags in versions.values())
        return {alias: versions[str(number)]["dvc.md5"] for alias, number in aliases.items()}, listed

    def lose_the_store(self) -> None:
        """And moves the repository: MLflow keeps a database open, also when the file is gone."""
        shutil.rmtree("mlruns")
        repository = Path(run_git("rev-parse", "--show-toplevel"))
        folder = Path.cwd().relative_to(repository)
        moved = repository.rename(repository.with_name("moved"))
        os.chdir(moved / folder)
