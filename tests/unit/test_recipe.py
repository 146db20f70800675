"""What the recipe's parts are worth is shown by trainings that can be compared."""

from typing import Any

import recipe


def row(seed: int, accuracy: float, instructions: str, **changes: Any) -> dict[str, Any]:
    return {
        "recipe": recipe.recipe("lenet", changes),
        "seed": seed,
        "code": "0",
        "instructions": instructions,
        "validation_accuracy": accuracy,
    }


def test_a_training_is_compared_with_the_default_on_a_like_processor_and_each_seed_counts_once() -> None:
    rows = [
        *(row(seed, 0.9 + 0.01 * seed, "A") for seed in range(3)),
        *(row(seed, 0.5, "B") for seed in range(3)),
        *(row(seed, 0.89 + 0.01 * seed, "A", warmup=0.0) for seed in range(2)),
        *(row(seed, 0.51, "B", warmup=0.0) for seed in range(1, 3)),
    ]
    (shown,) = (line for line in recipe._ablation("lenet", rows).splitlines() if "warm-up" in line)
    # Seed 0 has -1 point on A; seeds 1 and 2 have +1 on B, though seed 1 had -1 on A before
    assert shown.startswith("| without warm-up | +0.33 |")
    assert shown.endswith("| 3 |")
