"""What the measurements have in common when they tell of themselves."""

import platform
import re
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def processor() -> str:
    """The name that the system has for it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def instructions() -> str:
    """What the processor does PyTorch's arithmetic with."""
    import torch

    from mnist_pipeline.devices import choose_precision

    widest = torch.backends.cpu.get_cpu_capability()
    native = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    return f"{widest} and bfloat16" if native else widest


def most_memory() -> int:
    """Bytes that this process has taken at most.

    On Linux, getrusage counts what its parent had taken before it began.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_page(text: str, tables: Mapping[str, str]) -> str:
    """The text of a page with new tables; each stands between `<!-- its name -->` and `<!-- end -->`."""

    def current(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- {name} -->\n{tables[name]}\n<!-- end -->" if name in tables else found[0]

    return re.sub(r"<!-- ([\w: ]+) -->\n.*?<!-- end -->", current, text, flags=re.DOTALL)


def write_in_pages(tables: Mapping[str, str]) -> None:
    """Brings the tables of all pages of the documentation up to date."""
    for page in [Path("README.md"), *Path("docs").glob("*.md")]:
        page.write_text(in_page(page.read_text(), tables))
