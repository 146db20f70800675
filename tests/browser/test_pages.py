"""What a reader sees on MLflow's pages: `make browser` runs this, as it needs a browser."""

import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect

from projects import Project
from screenshots import Visitor

NAME = re.compile(r"^(lenet|mlp) · [0-9a-f]{7}$")


@pytest.fixture(autouse=True)
def _picture(reader: Visitor, request: pytest.FixtureRequest, tmp_path: Path):
    """Each page as it was at the end of its test; pytest keeps the folders of the last three runs."""
    yield
    reader.shoot(tmp_path / f"{request.node.name}.png")


def test_a_new_browser_opens_on_the_trained_models_the_best_first(reader: Visitor) -> None:
    """All columns are on the page, and nothing lies over it."""
    best = sorted(reader.runs(), key=lambda run: run.data.metrics["accuracy"], reverse=True)
    reader.client.set_tag(best[0].info.run_id, "changed", "epochs 24 → 6")  # a first result has no parent
    reader.open_table()
    names = reader.page.get_by_role("gridcell").get_by_role("link", name=NAME)
    expect(names).to_have_count(2)
    assert names.all_inner_texts() == [run.info.run_name for run in best]
    for column in ("accuracy", "errors", "validation_accuracy", "changed"):
        header = reader.page.get_by_role("columnheader", name=column, exact=True).last
        expect(header).to_be_in_viewport(ratio=0.9)
    for run in best:
        errors = f"{run.data.metrics['errors']:.0f}"
        expect(reader.page.get_by_role("gridcell", name=errors, exact=True).first).to_be_visible()
    for hidden in ("questions about your experiments", "You're viewing a shared view"):
        expect(reader.page.get_by_text(hidden)).to_have_count(0)
    reader.page.get_by_text("Views", exact=True).click()
    expect(reader.page.get_by_text("Results", exact=True)).to_be_visible()
    reader.page.keyboard.press("Escape")


def test_what_a_visitor_has_chosen_stays(reader: Visitor) -> None:
    reader.open_table()
    reader.page.get_by_text("GenAI", exact=True).click()
    reader.open_table()
    expect(reader.page.get_by_text("Prompts", exact=True).first).to_be_visible()
    reader.page.get_by_text("Model training", exact=True).click()
    reader.open_table()
    expect(reader.page.get_by_text("Prompts", exact=True)).to_have_count(0)


def test_a_run_is_described_and_its_curves_come_first(reader: Visitor) -> None:
    run = reader.runs()[0]
    reader.open_run(run)
    description = run.data.tags["mlflow.note.content"]
    expect(reader.page.get_by_text(description.splitlines()[0])).to_be_visible()
    reader.open_run(run, "/model-metrics")
    heads = reader.page.get_by_text(re.compile(r"^[\w ]+ ?\(\d+\)$"))
    expect(heads.nth(2)).to_be_visible()  # the sections that MLflow makes come below
    assert heads.first.inner_text().startswith("Curves")


def test_the_charts_draw_a_curve_for_each_model(reader: Visitor) -> None:
    reader.open_charts("^validation_accuracy$")
    points = sum(int(run.data.params["epochs"]) for run in reader.runs())
    expect(reader.page.locator(".scatterlayer .point:visible")).to_have_count(points)
    for run in reader.runs():
        expect(reader.page.get_by_text(f"{run.info.run_name} (validation_accuracy)")).to_be_visible()


def test_the_comparison_shows_lenet_against_mlp(reader: Visitor) -> None:
    lenet, mlp = reader.runs()
    reader.open_comparison([lenet, mlp])
    for run in (lenet, mlp):
        expect(reader.page.get_by_text(run.info.run_name, exact=True)).to_be_visible()
    expect(reader.page.get_by_text("architecture.pooling").last).to_be_visible()
    expect(reader.page.get_by_text("onnx/int8_accuracy_difference", exact=True).first).to_be_attached()


def test_a_model_shows_its_inputs_and_outputs(reader: Visitor) -> None:
    reader.open_model("lenet")
    reader.page.get_by_text("MLmodel", exact=True).click()
    text = reader.page.locator("body")
    for name, shape in (("image", "-1, 28, 28"), ("logits", "-1, 10"), ("probabilities", "-1, 10")):
        expect(text).to_contain_text(re.compile(rf'"name": "{name}".*?"shape":\s*\[{shape}\]', re.DOTALL))


def test_a_registered_model_has_its_versions_and_their_schema(reader: Visitor) -> None:
    reader.register("lenet")
    reader.open_registered("lenet")
    expect(reader.page.get_by_role("link", name="Version 1")).to_be_visible()
    reader.open_version("lenet", 1)
    for line in ("dtype: uint8, shape: [-1,28,28]", "logits", "probabilities"):
        expect(reader.page.get_by_text(line).first).to_be_visible()


def test_the_trials_of_a_search_are_listed_with_what_they_tried_the_best_first(
    reader: Visitor, first_result: Project, tmp_path: Path
) -> None:
    project = Project(first_result.copy(tmp_path / "repo").path, {"MLFLOW_TRACKING_URI": reader.address})
    params = project.params()
    params["train"]["mlp"]["epochs"] = 4
    params["train"]["mlp"]["augmentation"] |= {"rotation": 0, "shear": 0}  # the labels are angles
    project.write_params(params)
    rates = {"learning_rate": {"low": 0.00001, "high": 0.03, "log": True}}  # good ones and bad ones
    (project.path / "sweeps/mlp.yaml").write_text(yaml.safe_dump(rates))
    project.run("mnist-pipeline", "sweep", "mlp", "--trials", "4")
    searches = reader.at("mnist-pipeline-sweeps")
    searches.open_trials("mlp")
    expect(reader.page.get_by_role("gridcell").get_by_role("link", name=re.compile(r"^trial \d$"))).to_have_count(4)
    for column in ("validation_accuracy", "learning_rate", "sweep.state"):
        expect(reader.page.get_by_role("columnheader", name=column, exact=True).last).to_be_visible()
    shown = reader.page.locator("[role=gridcell][col-id='metrics.`validation_accuracy`']")
    trials = [run for run in searches.runs() if "mlflow.parentRunId" in run.data.tags]  # not the search's own run
    accuracies = [run.data.metrics["validation_accuracy"] for run in trials]
    assert [float(text) for text in shown.all_inner_texts()] == sorted(accuracies, reverse=True)
