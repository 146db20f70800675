"""What a reader sees of data that failed validation, without a network."""

from pathlib import Path

import numpy as np
from playwright.sync_api import expect

from mnist_pipeline import paths
from mnist_pipeline.data.idx import FILE_NAMES, TEST_IMAGES, format_idx, read_idx
from projects import Project
from screenshots import Visitor


def test_the_pages_of_failed_data_are_whole_without_a_network(
    project: Project, tiny_data: Path, reader: Visitor, tmp_path: Path
) -> None:
    """Of data whose first test image is blank."""
    for name in FILE_NAMES:
        array = read_idx(tiny_data / name).copy()
        if name == TEST_IMAGES:
            array[0] = np.zeros_like(array[0])
        (tmp_path / name).write_bytes(format_idx(array))
    params = project.params()
    params["data"]["folder"] = str(tmp_path)
    project.write_params(params)
    project.cli("download")
    project.cli("validate", code=1)

    assert reader.page.context.browser is not None
    with reader.page.context.browser.new_context(offline=True) as offline:
        requested: list[str] = []
        failed: list[str] = []
        page = offline.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))

        page.goto((project.path / paths.DATA_DOCS / "index.html").as_uri())
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        picture = page.get_by_role("img", name="image 0").first
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 28
        page.screenshot(path=tmp_path / "failed.png", full_page=True)

        page.get_by_role("link").first.click()
        line = page.get_by_role("row").filter(has_text="1 unexpected values found").last
        assert line.locator("i").evaluate("icon => getComputedStyle(icon, '::before').content") == '"not met"'
        expect(page.get_by_text("Validation Filter")).to_be_hidden()  # it would do nothing
        page.screenshot(path=tmp_path / "details.png", full_page=True)
        page.get_by_role("link", name="Home").click()
        expect(picture).to_be_visible()

    assert {address.partition(":")[0] for address in requested} <= {"file", "data"}
    assert failed == []
