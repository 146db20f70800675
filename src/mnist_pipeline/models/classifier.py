"""A network behind its preprocessing: raw pixels in, logits out."""

from torch import Tensor, nn


class Classifier(nn.Module):
    """A network that gets standardised pixels.

    `mean` and `standard_deviation` are those of the training pixels divided by 255. They are Python floats,
    so that the exported graph holds them as constants and a state dict of `network` fits the tutorial's classes.
    """

    def __init__(self, network: nn.Module, mean: float, standard_deviation: float) -> None:
        super().__init__()
        self.network = network
        self.scale = 1 / (255 * standard_deviation)
        self.shift = -mean / standard_deviation

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[N, classes]` of raw pixels, 0 to 255, `[N, height, width]` or with channels at the end."""
        if image.ndim == 4 and image.shape[3] == 1:
            image = image[..., 0]  # so that both forms are computed in the same way, to the last bit
        planes = image.unsqueeze(1) if image.ndim == 3 else image.movedim(3, 1)  # [N, channels, height, width]
        logits: Tensor = self.network(planes.float() * self.scale + self.shift)
        return logits
