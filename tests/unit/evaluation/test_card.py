"""A card reports of a model what the stages reported, and no more."""

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from mnist_pipeline import paths
from mnist_pipeline.commands import results
from mnist_pipeline.comparison.paired import PAIR_COLUMNS
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes, write_json, write_text
from mnist_pipeline.formats import file_digest
from mnist_pipeline.stages import card

FINDINGS = "## Accuracy\n\n| label | recall |\n| --- | --- |\n| zero | 99% |\n\n![Slices](figures/slices.png)\n"
HISTORY = "epoch,train_loss,validation_loss,validation_accuracy\n1,0.5,0.25,0.96\n2,0.25,0.2,0.97\n"
PAIR = dict.fromkeys(PAIR_COLUMNS, 7) | {"model": "lenet", "other": "mlp", "difference": 0.0123, "p_value": 0.28}
INT8 = {"shipped": True, "test": {"accuracy_difference_low": -0.0002, "accuracy_difference_high": 0.0004}}
METRICS = {
    "train": {"parameters": 61_706, "validation_accuracy": 0.97},
    "evaluate": {"accuracy": 0.9876, "accuracy_low": 0.98, "accuracy_high": 0.99, "errors": 25},
    "export": {"max_logit_difference": 7.6e-6, "int8_size_ratio": 0.325, "int8_accuracy_difference": 0.0001},
}
NUMBERS = (
    "61,706 98.76% 2,000 25 98.00% 99.00% 95% 1,200 25% 97.00% 59 `idx` `cc33.dir` +1.23 0.28 23 8 7.6e-06 32% "
    "+0.01 -0.02 +0.04"
)
Reported = Callable[..., str]


@pytest.fixture
def reported(workplace) -> Reported:
    """The card of lenet, after reports with some changes."""

    def write(
        pairs: tuple[dict[str, Any], ...] = (PAIR,), int8: dict[str, Any] = INT8, models: int = 2, size: Any = (28, 28)
    ) -> str:
        write_json(paths.VERDICT, {"data_md5": "cc33.dir", "images": {"train": [1200, *size], "test": [2000, *size]}})
        write_json(paths.VALIDATION / "facts.json", {"suite": "idx", "expectations": 59})
        for stage, metrics in METRICS.items():
            for model in ("lenet", "mlp"):
                write_json(paths.report(stage, model) / "metrics.json", metrics)
        write_text(paths.report("evaluate", "lenet") / "findings.md", FINDINGS)
        for name in ("mistakes", "confusion", "slices"):
            write_bytes(paths.report("evaluate", "lenet") / f"figures/{name}.png", name.encode())
        write_text(paths.report("train", "lenet") / "history.csv", HISTORY)
        write_json(paths.report("export", "lenet") / "details.json", {"images": 2000, "int8": int8})
        write_json(paths.COMPARISON / "metrics.json", {"models": models, "missed_by_all": 23, "suspected_labels": 8})
        rows = [",".join(PAIR_COLUMNS), *(",".join(map(str, pair.values())) for pair in pairs)]
        write_text(paths.COMPARISON / "tables/pairs.csv", "\n".join(rows) + "\n")
        write_bytes(paths.onnx("lenet"), b"network")
        card.run(workplace.params, "lenet")
        return paths.model_card("lenet").read_text()

    workplace.change("card", intended_use="Digits.\n\n## Results\n\nAll right.", out_of_scope="Letters.")
    return write


def test_every_number_of_the_reports_is_in_the_card(workplace, reported: Reported) -> None:
    text = reported()
    assert [number for number in NUMBERS.split() if number not in text] == []
    for path in (paths.weights("lenet"), paths.onnx("lenet")):
        assert f"| `{path}` | `{file_digest(path, 'md5')}` |" in text
    assert str(paths.int8("lenet")) not in text
    assert "Digits. ## Results All right." in text, "no heading of an author"
    assert "\n\n\n" not in text
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(program, "card", "exec")
    assert 'InferenceSession("models/lenet/model.onnx")' in program
    assert "(1, 28, 28)" in program
    assert workplace.published == [("card", "lenet", {})]


def test_the_result_and_the_pictures_come_first_and_the_hashes_last(reported: Reported) -> None:
    head, *sections = reported().split("\n## ")
    title, *sentences = re.split(r"\n+|(?<=\.) ", head.strip())
    assert title == "# Model card: lenet, trained on mnist"
    assert len(sentences) <= 3
    for number in ("98.76%", "98.00% to 99.00%", "25 errors", "2,000"):
        assert number in sentences[0]
    assert "97.00%" in sentences[1]
    titles = ["Mistakes", "Use", "Accuracy", "Against the other models", "Loading it", "Training", "Files"]
    assert [section.partition("\n")[0] for section in sections] == titles
    assert re.findall(r"\((\S+png)\)", head + sections[0]) == [
        f"../../evaluate/lenet/figures/{name}.png" for name in ("mistakes", "confusion")
    ]
    hashes = re.compile(r"`[0-9a-f]{32}`|cc33\.dir")
    assert hashes.search(sections[-1])
    assert not hashes.search("".join([head, *sections[:-1]]))


def test_training_parameters_are_those_of_the_model_in_their_order(workplace, reported: Reported) -> None:
    architecture = {"hidden": [512, 512], "activation": "relu"}
    training = workplace.params.training("lenet").model_copy(update={"architecture": architecture})
    workplace.change("train", lenet=training)
    (text,) = re.findall(r"```yaml\n(.*?)```", reported(), re.DOTALL)
    expected = {"seed": 42, "validation_share": 0.25} | training.model_dump()
    assert yaml.safe_load(text) == expected
    assert list(yaml.safe_load(text)) == list(expected)


def test_int8_that_is_not_shipped_and_pairs_of_other_models_are_left_out(reported: Reported) -> None:
    assert "INT8" in reported()
    assert "INT8" not in reported(int8={"shipped": False})
    assert "McNemar" not in reported(pairs=(PAIR | {"model": "mlp", "other": "softmax"},), models=3)
    alone = reported(pairs=(), models=1)
    assert "Against the other models" not in alone
    assert "8 are suspected" in alone


def test_the_page_shows_tables_and_pictures_and_needs_no_other_file(workplace, reported: Reported) -> None:
    workplace.change("card", intended_use="<script>alert(1)</script>")
    assert "](../../evaluate/lenet/figures/slices.png)" in reported()
    page = paths.model_card("lenet").with_suffix(".html").read_text()
    assert "<td>zero</td>" in page
    assert "<title>Model card: lenet</title>" in page
    assert 'src="data:image/png;base64,c2xpY2Vz" alt="Slices"' in page
    assert page.count('src="data:image/png;base64,') == 4
    curves = paths.model_card("lenet").with_name("curves.png").read_bytes()
    assert b64encode(curves).decode() in page
    card.run(workplace.params, "lenet")
    assert paths.model_card("lenet").with_name("curves.png").read_bytes() == curves
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script>" not in page, "no markup of an author"


@pytest.mark.parametrize(
    ("size", "kind", "shape"),
    [((8, 9, 1), "grey", "8, 9"), ((64, 48, 3), "RGB", "64, 48, 3"), ((64, 48, 4), "RGBA", "64, 48, 4")],
)
def test_the_card_has_the_shape_of_the_images(reported: Reported, size: Any, kind: str, shape: str) -> None:
    text = reported(size=size)
    assert f"classifies {kind} images of {size[1]}×{size[0]} pixels" in text
    assert f"np.zeros((1, {shape}), np.uint8)" in text
    assert f"Raw {kind} pixels in" in text


@pytest.mark.parametrize(
    "path", [paths.VERDICT, paths.COMPARISON / "tables/pairs.csv", paths.report("evaluate", "lenet") / "findings.md"]
)
def test_a_missing_report_and_one_of_another_kind_are_named(workplace, reported: Reported, path: Any) -> None:
    reported()
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(PipelineError, match=f"^{path}: missing"):
        card.run(workplace.params, "lenet")
    path.write_bytes(content)
    write_json(paths.report("train", "lenet") / "metrics.json", {"accuracy": 1})
    with pytest.raises(PipelineError, match="lenet"):
        card.run(workplace.params, "lenet")


def test_the_results_are_printed_with_where_to_look_next(
    workplace, reported: Reported, capsys: pytest.CaptureFixture[str]
) -> None:
    reported()
    results.run(workplace.params)
    printed = capsys.readouterr().out
    for part in ("61,706", "97.00%", "98.76%", "25", "7.6e-06", "lenet against mlp: +1.23", "models/lenet/model.onnx"):
        assert part in printed
    (paths.COMPARISON / "tables/pairs.csv").write_text("model\n")
    with pytest.raises(PipelineError, match=r"^reports/compare/tables/pairs\.csv: "):
        results.run(workplace.params)
