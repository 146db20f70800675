"""The exported network: made as ONNX and INT8, shown equal to PyTorch, and timed."""
