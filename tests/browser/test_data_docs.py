"""What a reader sees of refused data, without a network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect

from mnist_pipeline import paths
from mnist_pipeline.data import catalog
from mnist_pipeline.data.idx import format_idx, read_idx
from projects import make_project
from screenshots import Visitor


@pytest.fixture(scope="module")
def pages(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of data whose first test image is blank."""
    source = tmp_path_factory.mktemp("damaged")
    for name in catalog.FILE_NAMES:
        array = read_idx(tiny_data / name)
        if name == catalog.TEST_IMAGES:
            array = np.concatenate([np.zeros_like(array[:1]), array[1:]])
        (source / name).write_bytes(format_idx(array))
    project = make_project(tmp_path_factory.mktemp("refused") / "repo", source)
    project.run("mnist-pipeline", "download")
    project.run("mnist-pipeline", "validate", code=1)
    return project.path / paths.DATA_DOCS


@pytest.fixture
def offline(reader: Visitor) -> Iterator[BrowserContext]:
    browser = reader.page.context.browser
    assert browser is not None
    context = browser.new_context(offline=True)
    yield context
    context.close()


def test_the_pages_of_refused_data_are_whole_without_a_network(
    pages: Path, offline: BrowserContext, tmp_path: Path
) -> None:
    asked: list[str] = []
    failed: list[str] = []
    page = offline.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))

    page.goto((pages / "index.html").as_uri())
    expect(page.get_by_role("heading", name="The gate refuses the data")).to_be_visible()
    picture = page.get_by_role("img", name="image 0").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 28
    page.screenshot(path=tmp_path / "refused.png", full_page=True)

    page.get_by_role("link").first.click()
    row = page.get_by_role("row").filter(has_text="1 unexpected values found").last
    assert row.locator("i").evaluate("icon => getComputedStyle(icon, '::before').content") == '"not met"'
    expect(page.get_by_text("Validation Filter")).to_be_hidden()  # it would do nothing
    page.screenshot(path=tmp_path / "details.png", full_page=True)

    page.get_by_role("link", name="Home").click()
    expect(picture).to_be_visible()

    assert {address.partition(":")[0] for address in asked} <= {"file", "data"}
    assert failed == []
