"""What the person who runs a command sees: lines, tables, and a progress bar where there is a terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LEAST_WIDTH = 120
"""Columns that a table is laid out for, at least: in a log, nobody wants it folded to 80."""


def info(message: str) -> None:
    """Prints one line to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(message, markup=False)


def warn(message: object) -> None:
    """Prints one line that begins with `warning:` to standard error."""
    info(f"warning: {message}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], stderr: bool = True) -> None:
    """Prints a table to standard error, or to standard output."""
    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = max(console.width, LEAST_WIDTH)
    console.print(shown)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that the yielded function advances; in a log, which is no terminal, it prints nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.advance(task, amount)
