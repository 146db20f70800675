"""What others would run, as they write it, with PyTorch as it comes; each prints what it measured as JSON.

python benchmarks/rivals.py tutorial lenet
python benchmarks/rivals.py example 0
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import datasets, transforms

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split, validation_split
from mnist_pipeline.models.build import build
from mnist_pipeline.params import load_params
from mnist_pipeline.stages.train import on_device
from mnist_pipeline.training.devices import choose_device
from mnist_pipeline.training.loop import measure

IMAGES = 12_800
EPOCHS = 6
"""Of each rate, of which the first is left out: it also chooses kernels."""
EXAMPLE_EPOCHS = 14
"""The example's default."""
MEAN, DEVIATION = 0.1307, 0.3081


def main() -> None:
    what, argument = sys.argv[1:]
    result = tutorial(argument) if what == "tutorial" else example(int(argument))
    sys.stdout.write(json.dumps(result))


def tutorial(model: str) -> float:
    """Images a second in the loop of PyTorch's quickstart tutorial."""
    with tutorial_data() as data:
        network = build(model, dict(load_params().training(model).architecture), 10)
        loader = DataLoader(Subset(data, range(IMAGES)), batch_size=64)
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        times = []
        for _ in range(EPOCHS):
            begun = time.perf_counter()
            tutorial_epoch(network, loader, optimizer, nn.CrossEntropyLoss())
            times.append(time.perf_counter() - begun)
    return IMAGES / statistics.median(times[1:])


def tutorial_epoch(
    model: nn.Module, loader: "DataLoader[Any]", optimizer: torch.optim.Optimizer, loss_function: nn.Module
) -> None:
    """One epoch as the tutorial writes it, printing aside."""
    model.train()
    for batch, (images, labels) in enumerate(loader):
        device = next(model.parameters()).device
        images, labels = images.to(device), labels.to(device)
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if batch % 100 == 0:
            loss.item()


def example(seed: int) -> float:
    """Seconds until PyTorch's MNIST example has 99 % of the validation images right at the end of an epoch.

    Where it never has, they are those of all its epochs: it would take longer.
    Adadelta at 1.0, falling to 0.7 of itself each epoch, in batches of 64: the example's defaults.
    """
    split = load_split(paths.RAW, "train")
    kept, others = validation_split(split.labels, load_params().train.validation_share, seed)
    device = choose_device("train.device", "auto")
    images, labels = on_device(split.take(others), device).tensors
    validation = TensorDataset(((images.float() / 255 - MEAN) / DEVIATION).unsqueeze(1), labels)
    torch.manual_seed(seed)
    network = example_network().to(device)
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    with tutorial_data(transforms.Normalize((MEAN,), (DEVIATION,))) as data:
        loader = DataLoader(Subset(data, kept.tolist()), batch_size=64, shuffle=True)
        begun = time.perf_counter()
        for _ in range(EXAMPLE_EPOCHS):
            tutorial_epoch(network, loader, optimizer, nn.CrossEntropyLoss())
            schedule.step()
            if measure(network, validation)[1] >= 0.99:
                break
        return time.perf_counter() - begun


def example_network() -> nn.Module:
    """The network of PyTorch's own MNIST example, examples/mnist/main.py."""
    convolutions = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25))
    dense = (nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    return nn.Sequential(*convolutions, *dense)


@contextmanager
def tutorial_data(*more: Callable[[Any], Any]) -> Iterator[datasets.MNIST]:
    """The training images as torchvision gives them, image by image."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST/raw"
        raw.parent.mkdir()
        raw.symlink_to(paths.RAW.resolve())
        yield datasets.MNIST(folder, transform=transforms.Compose([transforms.ToTensor(), *more]))


if __name__ == "__main__":
    main()
