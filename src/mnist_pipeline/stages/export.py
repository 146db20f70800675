"""Writes one trained model as ONNX, after onnxruntime has agreed with PyTorch on the whole test set."""

from dataclasses import asdict

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes, write_json
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import Params
from mnist_pipeline.serving.latency import measure_latency
from mnist_pipeline.serving.novelty import least_familiarity
from mnist_pipeline.serving.onnx_export import OPSET, ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.parity import Parity, compare
from mnist_pipeline.serving.session import open_session


def run(params: Params, model: str) -> None:
    """Writes the ONNX file of `model` and its metrics, and adds them and the latency to its row in MLflow.

    Raises:
        PipelineError: onnxruntime and PyTorch disagree; then there is no ONNX file, not even an older one.
    """
    from mnist_pipeline.tracking.publish import publish_export

    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    train, test = (load_split(paths.RAW, name).images for name in ("train", "test"))
    paths.onnx(model).unlink(missing_ok=True)
    served = ServedClassifier(classifier)
    network = to_onnx(served, description, test.shape[1:], least_familiarity(served, train))
    content = to_bytes(network)
    session = open_session(content)
    parity = compare(served, session, test)
    _demand_equal(parity, params.export.max_logit_difference, model)

    write_bytes(paths.onnx(model), content)
    metrics = asdict(parity) | {"size_bytes": len(content), "opset": OPSET}
    write_json(paths.report("export", model) / "metrics.json", metrics)
    timings = measure_latency(served, session, test, params.export.latency_repeats)
    console.say(_line(model, parity, timings))
    publish_export(params, model, timings)


def _demand_equal(parity: Parity, limit: float, model: str) -> None:
    # "not at most" and "more than" differ where the difference is not a number
    if parity.differing_predictions or not parity.max_logit_difference <= limit:
        raise PipelineError(
            f"{paths.onnx(model)}: not written: onnxruntime and PyTorch differ in {parity.differing_predictions:,} of "
            f"{parity.images:,} predictions and by up to {parity.max_logit_difference:.2g} in a logit; expected 0 "
            f"and at most {limit:g} (export.max_logit_difference)"
        )


def _line(model: str, parity: Parity, timings: dict[str, float]) -> str:
    return (
        f"export {model}: {parity.images:,} predictions equal to PyTorch's, logits within "
        f"{parity.max_logit_difference:.1e}; one image in {timings['latency_ms/batch_1/onnxruntime']:.2f} ms, "
        f"PyTorch {timings['latency_ms/batch_1/pytorch']:.2f} ms"
    )
