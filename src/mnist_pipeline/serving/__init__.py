"""The exported network: made, proved equal to PyTorch, and timed."""
