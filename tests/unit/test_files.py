"""Files are whole or not there, are opened only where they are files, and messages about them keep secrets."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mnist_pipeline import files
from mnist_pipeline.errors import LONGEST, PipelineError, one_line
from mnist_pipeline.files import fresh_folder, read_regular, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(target: Path) -> None:
    target.write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_new_files_have_the_permissions_of_the_users_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    write_text(tmp_path / "report.json", "new")
    with fresh_folder(tmp_path / "figures") as folder:
        write_text(folder / "one.png", "new")
    os.umask(before)
    for name, mode in (("report.json", 0o666), ("figures/one.png", 0o666), ("figures", 0o777)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode & ~mask


def test_a_file_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, synced = tmp_path / "report.json", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.pread(file, 100, 0), target.exists())))
    write_text(target, "new")
    assert synced == [(b"new", False)]
    assert target.read_text() == "new"


@pytest.mark.parametrize(("module", "step"), [(os, "fsync"), (Path, "replace")])
def test_a_full_disk_at_any_step_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
) -> None:
    file, folder = tmp_path / "report.json", tmp_path / "figures"
    write_text(file, "old")
    write_text(folder / "old.png", "old")
    monkeypatch.setattr(module, step, lambda *_: write_half(tmp_path / "half"))
    with pytest.raises(PipelineError, match=r"report\.json: .*no space left"):
        write_text(file, "new")
    (tmp_path / "half").unlink()
    with pytest.raises(PipelineError, match=r"figures: .*no space left"), fresh_folder(folder) as temporary:
        write_half(temporary / "half.png")
    assert (file.read_text(), names(folder), names(tmp_path)) == ("old", ["old.png"], ["figures", "report.json"])


def test_a_fresh_folder_holds_nothing_of_the_one_before(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        with fresh_folder(tmp_path / "figures") as folder:
            write_text(folder / name, name)
    assert (names(tmp_path / "figures"), names(tmp_path)) == (["second.png"], ["figures"])


@pytest.mark.parametrize("write", [files.check_writable, lambda target: write_text(target, "new")])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, write: Callable[[Path], None]) -> None:
    files.check_writable(tmp_path / "new/report.json")
    assert names(tmp_path / "new") == []
    (tmp_path / "reports").write_text("a file in the place of the folder")
    with pytest.raises(PipelineError, match=r"reports/train/metrics\.json: .*Not a directory"):
        write(tmp_path / "reports/train/metrics.json")


def test_tables_and_json_have_one_form(tmp_path: Path) -> None:
    files.write_table(tmp_path / "table.csv", pd.DataFrame({"label": ["ä"], "share": [1 / 3]}), "%.3f")
    assert (tmp_path / "table.csv").read_bytes() == "label,share\nä,0.333\n".encode()
    files.write_json(tmp_path / "one.json", {"b": 1, "a": 2})
    files.write_json(tmp_path / "two.json", {"a": 2, "b": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert files.read_json(tmp_path / "one.json") == {"a": 2, "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "three.json", {"a": float("nan")})


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[1]", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_report_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        files.write_bytes(tmp_path / "metrics.json", content)
    with pytest.raises(PipelineError, match=r"metrics\.json: .*dvc repro"):
        files.read_json(tmp_path / "metrics.json")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_or_too_large_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Opening a FIFO would wait for its writer for ever, and /dev/zero has no end."""
    make(tmp_path / "place")
    (tmp_path / "link").symlink_to("place")
    for path in (tmp_path / "place", tmp_path / "link"):
        with pytest.raises(OSError, match=r"regular file|directory"):
            read_regular(path)
    write_text(tmp_path / "file", "12345678")
    assert read_regular(tmp_path / "file", 8) == b"12345678"
    with pytest.raises(OSError, match="larger than 7 bytes"):
        read_regular(tmp_path / "file", 7)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:S3cret@database/mlflow",
        "postgresql://user:S3cret@S3cret@database/mlflow",
        "http://S3cret@database:5000",
        "postgresql://database/mlflow?user=me&password=S3cret&sslmode=require",
        "https://database/x?access_token=S3cret",
        "https://database/x?X-Amz-Signature=S3cret",
        "https://database/x?API-KEY=S3cret",
        "password=S3cret host=database",
    ],
)
def test_secrets_in_addresses_are_hidden_and_the_rest_is_not(address: str) -> None:
    shown = one_line(f"cannot connect to {address}: refused")
    assert "S3cret" not in shown + one_line(address)
    assert "database" in shown
    assert shown.endswith(" refused")


def test_words_from_outside_are_one_short_printable_line() -> None:
    assert one_line("Not\r\n Found \x1b[31mred\x07 \u202egnp.exe\u2028 é") == "Not Found [31mred gnp.exe é"
    long = one_line("first " + "x" * 10_000 + " last")
    assert len(long) <= LONGEST + 3
    assert (long[:5], long[-4:]) == ("first", "last")


def test_links_in_the_place_of_folders_are_ignored_by_git(tmp_path: Path) -> None:
    """`/mlruns/` would ignore folders alone, and who keeps them on another disk has links."""
    (tmp_path / ".gitignore").write_bytes((Path(__file__).parents[2] / ".gitignore").read_bytes())
    for name in (".venv", "mlruns", "models", "reports", ".cache"):
        (tmp_path / name).symlink_to("/nowhere")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert subprocess.check_output(["git", "status", "--short"], cwd=tmp_path).split() == [b"??", b".gitignore"]
