"""A training config for tests of the loop, which change of it what they are about."""

import torch

from mnist_pipeline.training.optimization import TrainingConfig

PLAIN = TrainingConfig(
    seed=1,
    epochs=3,
    batch_size=16,
    precision=torch.float32,
    optimizer="adamw",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule="cosine",
    warmup=0.3,
    label_smoothing=0.0,
    ema_decay=0.5,
    augmentation={"rotation": 0, "scale": 0, "shear": 0, "translation": 0, "elastic": 0, "final_strength": 1.0},
)
