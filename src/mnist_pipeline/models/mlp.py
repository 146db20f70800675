"""The multi-layer perceptron of PyTorch's quickstart tutorial."""

from torch import Tensor, nn

from mnist_pipeline.models.activations import activation_class

PIXELS = 28 * 28


class MLP(nn.Module):
    """Fully connected layers; 669,706 parameters with two hidden layers of 512 and ten classes.

    Dropout adds no parameters but moves the layers' numbers in a state dict, so it stands only where it acts.
    """

    def __init__(self, *, classes: int, activation: str, hidden: list[int], dropout: float) -> None:
        super().__init__()
        if not all(width >= 1 for width in hidden):
            raise ValueError(f"hidden = {hidden!r}: expected widths of at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout = {dropout!r}: expected at least 0 and less than 1")
        layers: list[nn.Module] = []
        for inputs, outputs in zip([PIXELS, *hidden], hidden, strict=False):
            layers += [nn.Linear(inputs, outputs), activation_class(activation)()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(*layers, nn.Linear([PIXELS, *hidden][-1], classes))

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `float [N, 1, 28, 28]`."""
        logits: Tensor = self.linear_relu_stack(self.flatten(image))
        return logits
