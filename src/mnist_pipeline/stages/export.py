"""Writes one trained model as ONNX, after onnxruntime has agreed with PyTorch on the whole test set.

Beside it, the same in INT8, where that is smaller and not significantly less accurate on the held-out images.
"""

from dataclasses import asdict
from typing import Any

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import load_split, stratified_split
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.offer import Cost, Offer, cost, judge
from mnist_pipeline.files import write_bytes, write_json
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import Params
from mnist_pipeline.serving.int8 import to_int8
from mnist_pipeline.serving.latency import measure_latency
from mnist_pipeline.serving.novelty import least_familiarity
from mnist_pipeline.serving.onnx_export import OPSET, ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.serving.parity import Parity, compare
from mnist_pipeline.serving.session import logits, open_session, predict


def run(params: Params, model: str) -> None:
    """Writes the ONNX files of `model` and its metrics, and adds them and the latencies to its row in MLflow.

    Raises:
        PipelineError: onnxruntime and PyTorch disagree; then there is no ONNX file, not even an older one.
    """
    from mnist_pipeline.tracking.publish import publish_export

    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    train, test = load_split(paths.RAW, "train"), load_split(paths.RAW, "test")
    kept, held_out = map(train.take, stratified_split(train.labels, params.train.validation_size, params.train.seed))
    _remove_networks(model)
    served = ServedClassifier(classifier)
    network = to_onnx(served, description, test.images.shape[1:], least_familiarity(served.logits(train.images)))
    content = to_bytes(network)
    session = open_session(content)
    answers = logits(session, test.images)
    parity = compare(served.logits(test.images), answers)
    _demand_equal(parity, params.export.max_logit_difference, model)

    int8_content = to_bytes(to_int8(network, kept.images, params.export.calibration_images))
    int8_session = open_session(int8_content)
    int8_answers = logits(int8_session, test.images)
    significance = params.export.significance
    choosing = cost(
        held_out.labels, predict(int8_session, held_out.images), predict(session, held_out.images), significance
    )
    testing = cost(test.labels, int8_answers.argmax(1), answers.argmax(1), significance)
    offer = judge(choosing, (len(int8_content), len(content)), significance)

    write_bytes(paths.onnx(model), content)
    if offer.offered:
        write_bytes(paths.int8(model), int8_content)
    metrics = asdict(parity) | {"size_bytes": len(content), "opset": OPSET, "data_md5": description.data_md5}
    costs = asdict(testing) | {"held_out": asdict(choosing)}
    metrics["int8"] = _differences(compare(answers, int8_answers)) | asdict(offer) | costs
    write_json(paths.report("export", model) / "metrics.json", metrics)
    timings = measure_latency(served, session, int8_session, test.images, params.export.latency_repeats)
    console.say(_line(model, parity, timings))
    console.say(_int8_line(model, offer, testing, timings))
    publish_export(params, model, timings)


def _remove_networks(model: str) -> None:
    """Leaves no older network, but the folder in which INT8 may come to lie: DVC keeps it, also when it is empty."""
    for path in (paths.onnx(model), paths.int8(model)):
        path.unlink(missing_ok=True)
    paths.int8(model).parent.mkdir(exist_ok=True)


def _demand_equal(parity: Parity, limit: float, model: str) -> None:
    # "not at most" and "more than" differ where the difference is not a number
    if parity.differing_predictions or not parity.max_logit_difference <= limit:
        raise PipelineError(
            f"{paths.onnx(model)}: not written: onnxruntime and PyTorch differ in {parity.differing_predictions:,} of "
            f"{parity.images:,} predictions and by up to {parity.max_logit_difference:.2g} in a logit; expected 0 "
            f"and at most {limit:g} (export.max_logit_difference)"
        )


def _differences(parity: Parity) -> dict[str, Any]:
    found = asdict(parity)
    del found["images"]
    return found


def _line(model: str, parity: Parity, timings: dict[str, float]) -> str:
    return (
        f"export {model}: {parity.images:,} predictions equal to PyTorch's, logits within "
        f"{parity.max_logit_difference:.1e}; one image in {timings['latency_ms/batch_1/onnxruntime']:.2f} ms, "
        f"PyTorch {timings['latency_ms/batch_1/pytorch']:.2f} ms"
    )


def _int8_line(model: str, offer: Offer, found: Cost, timings: dict[str, float]) -> str:
    return (
        f"export {model}: INT8 is {'' if offer.offered else 'not '}offered: {offer.reason}: {offer.size_ratio:.0%} of "
        f"the size, {100 * found.accuracy_difference:+.2f} points of accuracy (exact McNemar p = {found.p_value:.2g}); "
        f"{timings['int8/latency_ratio/batch_1']:.2f} times as long for one image, "
        f"{timings['int8/latency_ratio/batch_256']:.2f} for 256"
    )
