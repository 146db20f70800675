"""The networks, the classifier that puts preprocessing in front of one, and trained weights on disk."""

from mnist_pipeline.models.build import build
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.weights import Description, load_classifier, save_weights

__all__ = ["Classifier", "Description", "build", "load_classifier", "save_weights"]
