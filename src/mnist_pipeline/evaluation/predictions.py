"""The logits of many images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH_SIZE = 1000


@torch.inference_mode()
def predict_logits(classifier: nn.Module, images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Logits `float32 [N, classes]`, on the CPU, of raw images `[N, height, width]`; `classifier` moves to `device`."""
    classifier = classifier.to(device)
    batches = torch.tensor(images, device=device).split(BATCH_SIZE)
    return torch.cat([classifier(batch) for batch in batches]).cpu()
