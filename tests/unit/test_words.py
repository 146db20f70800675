"""The words of the field in plain English, in what the project prints and in what explains its code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRIVATE = re.compile(
    r"\b(tells?|told|hears?|heard|says|asks?|mend(s|ed|ing)?|doors?|rooms?|the gate|held[- ]out|familiarit(y|ies)"
    r"|strangers?|(is|are) no digits?|anew|bears|refuses(?! the connection)|goes on|is lost on|whoever|patien(t|ce)"
    r"|offer(s|ed)?|judge[sd]?|MLflow rows?)\b",
    re.IGNORECASE,
)
"""A reader cannot search for these; the field has prints, fixes, stage, validation set, energy score, decision."""
FUNCTION = re.compile(r"\bdef \w+")
"""Its name is a sentence too."""
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
FILES = [
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "src").rglob("*.j2"),
    *(ROOT / "suites").glob("*"),
    *(ROOT / "docs").rglob("*.md"),
    *(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)),
    *(ROOT / "benchmarks").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.py"),
    *ROOT.glob("*.md"),
    ROOT / "dvc.yaml",
    ROOT / "params.yaml",
]


def test_no_private_language_in_the_source_the_tests_and_the_documentation() -> None:
    found = []
    for path in FILES:
        prose = CODE.sub(lambda code: "\n" * code[0].count("\n"), path.read_text())
        prose = FUNCTION.sub(lambda name: name[0].replace("_", " "), prose)
        for number, line in enumerate(prose.splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}: {word[0]}" for word in PRIVATE.finditer(line)]
    assert found == []
