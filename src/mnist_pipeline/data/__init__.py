"""Where the images come from, their file format, and how they are split and augmented."""
