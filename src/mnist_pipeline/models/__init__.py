"""The networks, the classifier that puts preprocessing in front of one, and trained weights on disk."""
