"""A tracked machine-learning pipeline: MNIST to LeNet and MLP to ONNX."""
