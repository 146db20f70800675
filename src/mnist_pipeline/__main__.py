"""`python -m mnist_pipeline`, or `python src/mnist_pipeline` as DVC runs it."""

import sys
from pathlib import Path

# In the copy of the repository that `dvc exp run --temp` makes, the copy's code runs, not what is installed.
sys.path[0] = str(Path(__file__).resolve().parents[1])

try:
    from mnist_pipeline.cli import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("mnist_pipeline"):
        raise
    sys.exit(f"error: {sys.executable} has no package {error.name}: source .venv/bin/activate, or use make")

if __name__ == "__main__":
    main()
