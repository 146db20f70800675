"""What git and DVC remember: the commits, what `dvc.lock` recorded in each, and the files that it names."""
