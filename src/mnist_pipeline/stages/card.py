"""Writes the model card of one exported model: what it is for, what it was made from, how good it is, where it fails.

After Mitchell et al. (2019), "Model cards for model reporting", FAT*. Every number is one of a report.
"""

from base64 import b64encode
from io import StringIO
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.curves import CURVES, draw_curves
from mnist_pipeline.files import MAKE, read_file, read_json, read_table, write_bytes, write_text
from mnist_pipeline.formats import file_digest
from mnist_pipeline.params import Params


def run(params: Params, model: str) -> None:
    """Write the card as Markdown and as a page with its pictures, and add them to the run of `model` in MLflow."""
    from mnist_pipeline.tracking.publish import publish

    evaluation = paths.report("evaluate", model)
    numbers = dict.fromkeys(("difference", "difference_low", "difference_high", "p_value"), float)
    pairs = read_table(paths.COMPARISON / "tables/pairs.csv", {"model": str, "other": str, **numbers})
    files = [path for path in (paths.weights(model), paths.onnx(model), paths.int8(model)) if path.exists()]
    settings = params.train.model_dump(include={"seed", "validation_share"}) | params.training(model).model_dump()
    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style, yaml.width = None, 80  # a group of plain values takes a line, or two
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # declared as None
    yaml.dump(settings, text)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value, style: format(value + 0, style)  # a missing one cannot be added to
    try:
        card = environment.get_template("model_card.md.j2").render(
            model=model,
            params=params,
            validation=read_json(paths.VALIDATION / "facts.json"),
            verdict=read_json(paths.VERDICT),
            train=read_json(paths.report("train", model) / "metrics.json"),
            test=read_json(evaluation / "metrics.json"),
            findings=read_file(evaluation / "findings.md", MAKE).decode(),
            export=read_json(paths.report("export", model) / "metrics.json"),
            details=read_json(paths.report("export", model) / "details.json"),
            comparison=read_json(paths.COMPARISON / "metrics.json"),
            pairs=pairs[(pairs["model"] == model) | (pairs["other"] == model)].to_dict("records"),
            network=paths.onnx(model),
            files={path: file_digest(path, "md5") for path in files},
            settings=text.getvalue(),
        )
    except jinja2.UndefinedError as error:
        raise PipelineError(f"the reports of {model} lack a number of its card ({error}): run dvc repro") from error
    target, of_epoch = paths.model_card(model), dict.fromkeys(("epoch", *CURVES), float)
    curves = draw_curves(read_table(paths.report("train", model) / "history.csv", of_epoch))
    pictures = {f"figures/{path.name}": path.read_bytes() for path in sorted((evaluation / "figures").glob("*.png"))}
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    for name, content in {"curves.png": curves, **pictures}.items():
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{b64encode(content).decode()}"')
    page = environment.get_template("model_card.html.j2").render(title=f"Model card: {model}", body=body)
    write_bytes(target.with_name("curves.png"), curves)
    write_text(target, card.replace("](figures/", f"](../../evaluate/{model}/figures/"))
    write_text(target.with_suffix(".html"), page)
    console.info(f"card {model}: {target.with_suffix('.html')}")
    publish(params, "card", model)
