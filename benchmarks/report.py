"""What the measurements have in common in their reports."""

import json
import platform
import re
import resource
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *rows])


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def instructions() -> str:
    """What the processor does PyTorch's arithmetic with."""
    import torch

    from mnist_pipeline.training.devices import choose_precision

    native = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    return torch.backends.cpu.get_cpu_capability() + (" and bfloat16" if native else "")


def most_memory() -> int:
    """Bytes that this process has taken at most."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage counts what the parent had taken before
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_page(text: str, tables: Mapping[str, str]) -> str:
    """The text of a page with new tables; each stands between `<!-- its name -->` and `<!-- end -->`."""

    def current(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{tables[found[1]]}\n<!-- end -->" if found[1] in tables else found[0]

    return re.sub(r"<!-- ([\w: ]+) -->\n.*?<!-- end -->", current, text, flags=re.DOTALL)


def pages() -> list[Path]:
    """Those that may have such tables."""
    root = Path(__file__).parents[1]
    return [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "benchmarks").glob("*.md"))]


def write_in_pages(tables: Mapping[str, str]) -> None:
    for page in pages():
        page.write_text(in_page(page.read_text(), tables))


def measure_or_publish(name: str, measure: Callable[[], Any], tables: Callable[[Any], Mapping[str, str]]) -> None:
    """Measure into `measured/<name>.json`; with `--publish`, copy that to `results` and write the pages' tables."""
    measured, published = (Path(__file__).parent / folder / f"{name}.json" for folder in ("measured", "results"))
    if sys.argv[1:] == ["--publish"]:
        shutil.copy(measured, published)
        write_in_pages(tables(json.loads(published.read_text())))
    else:
        measured.parent.mkdir(exist_ok=True)
        measured.write_text(json.dumps(measure(), indent=2) + "\n")
