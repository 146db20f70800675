"""`python -m mnist_pipeline`, which is how torchrun starts it."""

from mnist_pipeline.cli import main

if __name__ == "__main__":
    main()
