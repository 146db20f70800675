"""The multi-layer perceptron of PyTorch's quickstart tutorial."""

import math
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mnist_pipeline.models.activations import ACTIVATIONS, Activation


class MLP(nn.Module):
    """Fully connected layers; 669,706 parameters with two hidden layers of 512, ten classes and MNIST's images.

    Dropout adds no parameters but moves the layers' numbers in a state dict, so it stands only where it acts.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        classes: int,
        activation: Activation,
        hidden: Annotated[list[Annotated[int, Field(ge=1, le=2**16)]], Field(max_length=64)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = [math.prod(shape), *hidden]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `float [N, channels, height, width]`."""
        logits: Tensor = self.linear_relu_stack(self.flatten(image))
        return logits


NETWORK = MLP
