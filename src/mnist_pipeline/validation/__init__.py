"""Data validation: statistics of the images, checks of their labels and for duplicates, and what a suite expects."""
