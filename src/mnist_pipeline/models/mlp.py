"""The multi-layer perceptron of PyTorch's quickstart tutorial."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mnist_pipeline.models.activations import ACTIVATIONS, Activation

PIXELS = 28 * 28


class MLP(nn.Module):
    """Fully connected layers; 669,706 parameters with two hidden layers of 512 and ten classes.

    Dropout adds no parameters but moves the layers' numbers in a state dict, so it stands only where it acts.
    """

    def __init__(
        self,
        *,
        classes: int,
        activation: Activation,
        hidden: Annotated[list[Annotated[int, Field(ge=1, le=2**16)]], Field(max_length=64)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([PIXELS, *hidden], hidden, strict=False):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(*layers, nn.Linear([PIXELS, *hidden][-1], classes))

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `float [N, 1, 28, 28]`."""
        logits: Tensor = self.linear_relu_stack(self.flatten(image))
        return logits


NETWORK = MLP
