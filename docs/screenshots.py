"""Opens MLflow's pages as a reader does, and makes docs/images/mlflow.png: run `make pull` and `make ui` first.

python docs/screenshots.py --browser /usr/bin/chromium
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
"""No sandbox, as Chromium has none for root, which CI often is; it opens nothing but the pages of this machine."""
IMAGES = Path(__file__).parent / "images"


class Visitor:
    """Someone who reads the pages of one experiment."""

    def __init__(self, page: Page, address: str, experiment: str) -> None:
        self.page = page
        self.client = MlflowClient(address)
        self.experiment = self.client.get_experiment_by_name(experiment).experiment_id
        self.address = address

    def at(self, experiment: str) -> "Visitor":
        """The same reader, of the pages of another experiment."""
        return Visitor(self.page, self.address, experiment)

    def runs(self) -> list[Run]:
        return sorted(self.client.search_runs([self.experiment]), key=lambda run: run.info.run_name)

    def open_table(self) -> None:
        """The first page: the runs of the trained models."""
        self._open("", "accuracy")

    def open_trials(self, model: str) -> None:
        """The trials of the searches for a model, the best first: their saved view."""
        self._open(f"experiments/{self.experiment}/runs?viewStateShareKey=trials-{model}", "trial 0")

    def open_run(self, run: Run, tab: str = "") -> None:
        self._open(f"experiments/{self.experiment}/runs/{run.info.run_id}{tab}", run.info.run_name)

    def open_charts(self, metrics: str = "") -> None:
        """The charts of all metrics, or of those that match a regular expression, one line or bar for each run."""
        self._open(f"experiments/{self.experiment}/runs?compareRunsMode=CHART", self.runs()[-1].info.run_name)
        if metrics:
            self.page.get_by_placeholder("Search metric charts").fill(metrics)
        self.page.wait_for_timeout(4000)  # the charts fade in

    def open_comparison(self, runs: Sequence[Run]) -> None:
        """The compare page, with what differs alone."""
        compared = as_json([run.info.run_id for run in runs])
        self._open(f"compare-runs?runs={compared}&experiments={as_json([self.experiment])}", runs[-1].info.run_name)
        self.page.set_viewport_size({"width": 1500, "height": 1400})
        self.page.get_by_text("Visualizations").click()
        for switch in self.page.get_by_role("switch").all():
            switch.click()  # show only what differs
        for section in ("Artifacts", "Tags"):
            self.page.get_by_text(section, exact=True).click()
        self.page.wait_for_timeout(1000)

    def open_model(self, name: str) -> None:
        """The files of the newest logged model of a name; they begin with its signature."""
        self._open(f"experiments/{self.experiment}/models/{self._model(name).model_id}/artifacts", "MLmodel")

    def register(self, name: str) -> None:
        """Puts the newest logged model of a name into the registry, under the same name."""
        model = self._model(name)
        self.client.create_registered_model(name)
        self.client.create_model_version(name, model.model_uri, model.source_run_id, model_id=model.model_id)

    def open_registered(self, name: str) -> None:
        """A model of the registry, with its versions."""
        self._open(f"models/{name}", "Version 1")

    def open_version(self, name: str, version: int) -> None:
        """A version of it, with its inputs and outputs."""
        self._open(f"models/{name}/versions/{version}", "Schema")
        for part in ("Inputs", "Outputs"):
            self.page.get_by_text(part).first.click()

    def shoot(self, target: Path) -> None:
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=target)

    def _model(self, name: str) -> LoggedModel:
        return self.client.search_logged_models([self.experiment], filter_string=f"name = '{name}'")[0]

    def _open(self, path: str, awaited: str) -> None:
        self.page.set_viewport_size({"width": 1400, "height": 900})
        self.page.goto("about:blank")  # the pages change the address themselves, which would cut off the next one
        self.page.goto(f"{self.address}/#/{path}" if path else self.address)
        self.page.get_by_text(awaited).first.wait_for()


@contextmanager
def visitor(address: str, experiment: str, browser: str | None) -> Iterator[Visitor]:
    """A visitor with a new browser; `browser` is its path, or Playwright's own."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        page = chromium.new_page()
        yield Visitor(page, address, experiment)
        chromium.close()


def as_json(values: list[str]) -> str:
    return quote(json.dumps(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    parser.add_argument("--browser", help="path of a Chromium; Playwright's own without it")
    parser.add_argument("--experiment", default="mnist-pipeline")
    arguments = parser.parse_args()

    IMAGES.mkdir(exist_ok=True)
    with visitor(arguments.address, arguments.experiment, arguments.browser) as reader:
        reader.open_charts()
        reader.page.set_viewport_size({"width": 1400, "height": 1080})
        reader.shoot(IMAGES / "mlflow.png")


if __name__ == "__main__":
    main()
