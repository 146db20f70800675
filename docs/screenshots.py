"""Makes the pictures of MLflow's pages in docs/images: run `make repro` and `make ui` first.

python docs/screenshots.py --browser /usr/bin/chromium
"""

import argparse
import json
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
"""No sandbox, as Chromium has none for root, which CI often is; it opens nothing but the pages of this machine."""
SETTINGS = """
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""
"""What a first visitor would click: the view for model training, and no assistant."""
CURVES = "^(train/loss|val/accuracy|val/loss|test/accuracy|test/errors|test/loss)$"
IMAGES = Path(__file__).parent / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    parser.add_argument("--browser", help="path of a Chromium; Playwright's own without it")
    parser.add_argument("--experiment", default="mnist-pipeline")
    arguments = parser.parse_args()

    client = MlflowClient(arguments.address)
    experiment = client.get_experiment_by_name(arguments.experiment).experiment_id
    runs = sorted(client.search_runs([experiment]), key=lambda run: run.info.run_name)
    compared = f"runs={as_json([run.info.run_id for run in runs])}&experiments={as_json([experiment])}"
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.add_init_script(SETTINGS)

        page.goto(f"{arguments.address}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
        page.get_by_placeholder("Search metric charts").fill(CURVES)
        shoot(page, runs[-1].info.run_name, "curves.png")

        page.goto(f"{arguments.address}/#/compare-runs?{compared}")
        page.set_viewport_size({"width": 1500, "height": 1400})
        page.get_by_text("Visualizations").click()
        for switch in page.get_by_role("switch").all():
            switch.click()  # show only what differs
        for section in ("Artifacts", "Tags"):
            page.get_by_text(section, exact=True).click()
        shoot(page, runs[-1].info.run_name, "compare.png")
        browser.close()


def as_json(values: list[str]) -> str:
    return quote(json.dumps(values))


def shoot(page: Page, awaited: str, name: str) -> None:
    page.get_by_text(awaited).first.wait_for()
    page.wait_for_timeout(4000)  # the charts fade in
    page.screenshot(path=IMAGES / name)


if __name__ == "__main__":
    main()
