"""MLflow's web application, opened on the trained models: what `mnist-pipeline ui` serves.

To a new browser, MLflow 3.17 shows pages for language models, an assistant, and a table without results, and has no
setting of the server for that. So its page gets other defaults for what a browser has not stored; it stores nothing
itself, and what a visitor chooses stays.
"""

import json
import os
from pathlib import Path

import mlflow.server
from mlflow.server.fastapi_app import app
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from mnist_pipeline.tracking import views
from mnist_pipeline.tracking.server import EXPERIMENT

SCRIPT = """<script>
const {first, defaults} = %s, stored = Storage.prototype.getItem;
Storage.prototype.getItem = function (key) {
  return stored.call(this, key) ?? defaults.find(([pattern]) => String(key).match(`^${pattern}$`))?.[1] ?? null;
};
if (location.hash.length < 2) location.replace(first);
</script>"""


def script(experiment: str) -> str:
    """The defaults by regular expressions of the keys, as JSON of JSON, and where the page goes first."""
    defaults = {
        "mlflow.workflowType_v1": "machine_learning",
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
        rf'.*-ExperimentPage-\["{experiment}"\]-ReactComponentState': views.trained_models(),
        r".*-RunPage-\w+-model-chartUIState": views.charts(),
    }
    texts = [(pattern, json.dumps(value)) for pattern, value in defaults.items()]
    return SCRIPT % json.dumps({"first": f"#/experiments/{experiment}/runs", "defaults": texts})


async def first_page(_: Request) -> HTMLResponse:
    page = (Path(mlflow.server.__file__).parent / mlflow.server.REL_STATIC_DIR / "index.html").read_text("utf-8")
    return HTMLResponse(page.replace("<head>", f"<head>{script(os.environ[EXPERIMENT])}", 1))


app.router.routes.insert(0, Route("/", first_page))
