"""What the pages of the documentation tell a reader to type."""

import re
from pathlib import Path


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def inline_commands(page: Path, beginning: str) -> list[str]:
    return re.findall(rf"`({beginning} [^`]+)`", page.read_text())
