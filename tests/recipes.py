"""A recipe for tests of the loop, which change of it what they are about."""

import torch

from mnist_pipeline.training.loop import Recipe

PLAIN = Recipe(
    epochs=3,
    batch_size=16,
    optimizer="adamw",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule="cosine",
    warmup_epochs=1,
    label_smoothing=0.0,
    ema_decay=0.5,
    precision=torch.float32,
    augment=lambda images, generator, part, strength: images[part].float(),
    final_strength=1.0,
)
