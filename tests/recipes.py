"""Settings for tests of the loop, which change of them what they are about."""

from typing import Any

from mnist_pipeline.params import Augmentation, Training

PLAIN = Training(
    architecture={},
    init="none",
    epochs=3,
    batch_size=16,
    precision="float32",
    optimizer="adamw",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule="cosine",
    warmup=0.3,
    label_smoothing=0.0,
    ema_decay=0.5,
    augmentation=Augmentation(
        rotation=0,
        scale=0,
        shear=0,
        translation=0,
        elastic=0,
        outside="black",
        horizontal_flip=0,
        final_strength=1.0,
    ),
)


def plain(**changes: Any) -> Training:
    """`PLAIN` with other values, unchecked: some tests have impossible ones."""
    return PLAIN.model_copy(update=changes)
