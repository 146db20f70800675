"""A small residual network, for colour photographs."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

GROUPS = 8  # of channels that are normalised together


class ResidualBlock(nn.Module):
    """Two convolutions, added to what they are given, which a third halves where they widen it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`float [N, outputs, height / stride, width / stride]` of `float [N, inputs, height, width]`."""
        changed = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(changed + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of residual blocks, each half as large and twice as wide as the one before, and their mean.

    As He et al. (2016), "Deep residual learning for image recognition", CVPR, use it for CIFAR-10: with a width of 16
    and 3 blocks, 272,282 parameters for colour images and ten classes. Groups of channels are normalised in each image
    (Wu and He, 2018, "Group normalization", ECCV), so that neither the batch nor averaged weights matter.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        classes: int,
        width: Annotated[int, Field(ge=GROUPS, le=1024, multiple_of=GROUPS)],
        blocks: Annotated[int, Field(ge=1, le=100)],
    ) -> None:
        super().__init__()
        *_, channels = shape
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, width)
        widths = [width] * (1 + blocks) + [2 * width] * blocks + [4 * width] * blocks
        self.blocks = nn.Sequential(*(ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(widths)))
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of images `float [N, channels, height, width]` of any size."""
        x = relu(self.norm(self.conv(image)))  # [N, width, height, width]
        x = self.blocks(x)  # [N, 4 width, height / 4, width / 4]
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


NETWORK = ResNet
