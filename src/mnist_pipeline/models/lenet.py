"""LeNet-5 as PyTorch's tutorial declares it, with LeCun's 32×32 field of view."""

from typing import Literal, cast

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from mnist_pipeline.models.activations import ACTIVATIONS, Activation


class LeNet(nn.Module):
    """Two convolutions and three linear layers; 61,706 parameters for ten classes.

    The tutorial declares `fc1` for 16·5·5 inputs, which an image of MNIST does not give. LeCun et al. (1998)
    show it in a 32×32 field; `padding=2` is that field and keeps every layer as declared. Images of another shape,
    (height, width, channels), change `conv1` and `fc1`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        classes: int,
        activation: Activation,
        pooling: Literal["max", "average"],
    ) -> None:
        super().__init__()
        height, width, channels = shape
        rows, columns = (height // 2 - 4) // 2, (width // 2 - 4) // 2  # of what `conv2` gives, once pooled
        if min(rows, columns) < 1:
            raise ValueError(f"images of {height}×{width} pixels are too small for lenet; expected at least 12×12")
        self.activation = ACTIVATIONS[activation]()
        self.pooling = pooling
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `float [N, channels, height, width]`; beside each line, MNIST's shapes."""
        x = self._activate_and_pool(self.conv1(image))  # [N, 6, 14, 14]
        x = self._activate_and_pool(self.conv2(x))  # [N, 16, 5, 5]
        x = x.flatten(1)  # [N, 400]
        x = self.activation(self.fc1(x))  # [N, 120]
        x = self.activation(self.fc2(x))  # [N, 84]
        logits: Tensor = self.fc3(x)
        return logits

    def _activate_and_pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            # A quarter of the work, and the same numbers where the activation rises, as all do but SiLU below -1.28
            return cast(Tensor, self.activation(max_pool2d(x, 2)))
        return avg_pool2d(self.activation(x), 2)


NETWORK = LeNet
