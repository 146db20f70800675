"""The words of the field in plain English, in what the project prints and in what explains its code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRIVATE = re.compile(
    r"\b(tells?|told|hears?|heard|says|mend(s|ed)?|doors?|rooms?|the gate|held[- ]out|familiarit(y|ies)|strangers?|anew"
    r"|bears|refuses|asks|goes on|whoever|patience|offer(s|ed)?|judge[sd]?)\b",
    re.IGNORECASE,
)
"""A reader cannot search for these; the field has prints, fixes, stage, validation set, energy score, decision."""


def test_no_private_language_in_the_source() -> None:
    files = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "src").rglob("*.j2"),
        *(ROOT / "suites").glob("*"),
        ROOT / "dvc.yaml",
    ]
    found = {
        f"{path.relative_to(ROOT)}:{number}: {word[0]}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (word := PRIVATE.search(line))
    }
    assert sorted(found) == []
