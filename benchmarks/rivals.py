"""What others would run, as they write it, with PyTorch as it comes; each prints what it measured as JSON.

python benchmarks/rivals.py tutorial lenet
python benchmarks/rivals.py example 0
python benchmarks/rivals.py decode pictures
python benchmarks/rivals.py load pictures distorted
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

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split, validation_split
from mnist_pipeline.models.build import build
from mnist_pipeline.params import load_params
from mnist_pipeline.stages.train import subset
from mnist_pipeline.training.devices import choose_device
from mnist_pipeline.training.loop import ImageSubset, measure

IMAGES = 12_800
EPOCHS = 6
"""Of each rate, of which the first is left out: it also chooses kernels."""
EXAMPLE_EPOCHS = 14
"""The example's default."""
MEAN, DEVIATION = 0.1307, 0.3081


def main() -> None:
    what, *arguments = sys.argv[1:]
    result = {"tutorial": tutorial, "example": example, "decode": decode, "load": load}[what](*arguments)
    sys.stdout.write(json.dumps(result))


def tutorial(model: str) -> float:
    """Images a second in the loop of PyTorch's quickstart tutorial."""
    with tutorial_data() as data:
        network = build(model, dict(load_params().training(model).architecture), (28, 28, 1), 10)
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


def example(number: str) -> float:
    """Seconds until PyTorch's MNIST example has 99 % of the validation images right at the end of an epoch.

    Where it never has, they are those of all its epochs: it would take longer.
    Adadelta at 1.0, falling to 0.7 of itself each epoch, in batches of 64: the example's defaults.
    """
    seed, split = int(number), load_split(paths.RAW, "train")
    kept, others = validation_split(split.labels, load_params().train.validation_share, seed)
    device = choose_device("train.device", "auto")
    places = torch.arange(len(others), device=device)
    images, labels = subset(split, others, device).take(places)
    validation = ImageSubset(((images.float() / 255 - MEAN) / DEVIATION).movedim(3, 1), labels, places)
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


def decode(folder: str) -> float:
    """Seconds until each picture in class folders is an array, in one process."""
    begun = time.perf_counter()
    for image, _ in datasets.ImageFolder(folder):
        np.asarray(image)
    return time.perf_counter() - begun


def load(folder: str, kind: str) -> float:
    """Images a second in batches from class folders, as bytes or `distorted`, by two workers."""
    bicubic = transforms.InterpolationMode.BICUBIC
    affine = transforms.RandomAffine(10, (3 / 32, 3 / 32), (0.85, 1.15), 5, bicubic)  # as for resnet in params.yaml
    distortion = transforms.Compose([transforms.RandomHorizontalFlip(), affine, transforms.ToTensor()])
    data = datasets.ImageFolder(folder, distortion if kind == "distorted" else transforms.PILToTensor())
    some = Subset(data, range(min(IMAGES, len(data)))) if kind == "distorted" else data
    loader = DataLoader(some, batch_size=128, shuffle=True, num_workers=2)
    begun = time.perf_counter()
    for _ in loader:
        pass
    return len(some) / (time.perf_counter() - begun)


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
