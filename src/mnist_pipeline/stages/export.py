"""Write one trained model as ONNX, after onnxruntime has agreed with PyTorch on the whole test set.

Beside it, the same in INT8, where that is smaller and not significantly less accurate on the validation set.
"""

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import picture_settings
from mnist_pipeline.data.dataset import load_split, validation_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.export.int8 import accuracy_difference, should_ship, to_int8
from mnist_pipeline.export.latency import measure_latency
from mnist_pipeline.export.onnx_file import OPSET, ServedClassifier, to_bytes, to_onnx
from mnist_pipeline.files import fresh_folder, write_bytes, write_json
from mnist_pipeline.models.weights import load_classifier
from mnist_pipeline.params import Params
from mnist_pipeline.serving.session import energy_bound, logits, open_session
from mnist_pipeline.training.devices import make_deterministic

SEED = 0  # draws the images that calibrate INT8


def run(params: Params, model: str) -> None:
    """Write the ONNX files of `model` and its reports, and publish them with the latencies.

    Where onnxruntime and PyTorch disagree there is no ONNX file, not even an older one.
    """
    from mnist_pipeline.tracking.publish import publish

    limit, significance = params.export.max_logit_difference, params.export.significance
    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    train, test = load_split(paths.RAW, "train"), load_split(paths.RAW, "test")
    train_indices, validation_indices = validation_split(train.labels, params.train.validation_share, params.train.seed)
    validation = train.take(validation_indices)
    drawn = np.random.default_rng(SEED).permutation(train_indices)[: params.export.calibration_images]
    with fresh_folder(paths.int8(model).parent):  # DVC expects it, also where INT8 is not shipped
        paths.onnx(model).unlink(missing_ok=True)

    served = ServedClassifier(classifier)
    network = to_onnx(served, description, picture_settings(params.data), energy_bound(served.logits(train.images)))
    content = to_bytes(network)
    session = open_session(content)
    test_logits = logits(session, test.images)
    parity = compare_logits(served.logits(test.images), test_logits)
    # "not at most" and "more than" differ where the difference is not a number
    if parity["differing_predictions"] or not parity["max_logit_difference"] <= limit:
        raise PipelineError(
            f"{paths.onnx(model)}: not written: onnxruntime and PyTorch differ in {parity['differing_predictions']:,} "
            f"of {len(test):,} predictions and by up to {parity['max_logit_difference']:.2g} in a logit; expected 0 "
            f"and at most {limit:g} (export.max_logit_difference)"
        )

    # The validation set decides whether INT8 is shipped; the test set measures it
    int8 = to_int8(network, train.images[drawn], train.images)
    int8_content = to_bytes(int8)
    int8_session = open_session(int8_content)
    int8_logits, float32_logits = (logits(each, validation.images) for each in (int8_session, session))
    on_validation = accuracy_difference(validation.labels, int8_logits, float32_logits, significance)
    int8_test_logits = logits(int8_session, test.images)
    on_test = accuracy_difference(test.labels, int8_test_logits, test_logits, significance)
    shipped, reason = should_ship(int8, network, on_validation, significance)

    write_bytes(paths.onnx(model), content)
    if shipped:
        write_bytes(paths.int8(model), int8_content)
    metrics = {
        "max_logit_difference": parity["max_logit_difference"],
        "size_bytes": len(content),
        "int8_accuracy_difference": on_test["accuracy_difference"],
        "int8_size_ratio": len(int8_content) / len(content),
    }
    quantized = {"shipped": shipped, "reason": reason, "size_bytes": len(int8_content)}
    quantized |= compare_logits(test_logits, int8_test_logits) | {"validation": on_validation, "test": on_test}
    details = {"data_md5": description.data_md5, "images": len(test), "opset": OPSET, **parity, "int8": quantized}
    write_json(paths.report("export", model) / "metrics.json", metrics)
    write_json(paths.report("export", model) / "details.json", details)

    timings = measure_latency(served, session, int8_session, test.images, params.export.latency_repeats)
    console.info(
        f"export {model}: {len(test):,} predictions equal to PyTorch's, logits within "
        f"{parity['max_logit_difference']:.1e}; one image in {timings['latency_ms']:.2f} ms, "
        f"PyTorch {timings['pytorch_latency_ms']:.2f} ms"
    )
    console.info(
        f"export {model}: INT8 is {'' if shipped else 'not '}shipped: {reason}: {metrics['int8_size_ratio']:.0%} of "
        f"the size, {100 * on_test['accuracy_difference']:+.2f} points of accuracy (exact McNemar p = "
        f"{on_test['p_value']:.2g}); {timings['int8_latency_ratio']:.2f} times as long for one image, "
        f"{timings['int8_latency_ratio_batch_256']:.2f} for 256"
    )
    publish(params, "export", model, measured=timings)


def compare_logits(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> dict[str, float]:
    """The predictions that differ, and absolute differences of the logits `[N, classes]` of the same images."""
    difference = np.abs(expected.astype(np.float64) - actual)
    return {
        "differing_predictions": int((expected.argmax(1) != actual.argmax(1)).sum()),
        "max_logit_difference": float(difference.max()),
        "mean_logit_difference": float(difference.mean()),
    }
