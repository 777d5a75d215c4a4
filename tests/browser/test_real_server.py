"""The page with `videogen serve` and a tiny model: all that the fake server simulates."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PATIENCE, Studio, watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKEN = "a token of more than sixteen characters"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with a model of random weights and a token."""
    from tests.pipeline.tiny import write_model

    command = [sys.executable, "-m", "videogen", "serve", "--port", "0", "--threads", "1", "--model"]
    model = write_model(tmp_path / "tiny")
    environment = {**os.environ, "VIDEOGEN_TOKEN": TOKEN}
    with subprocess.Popen(
        [*command, str(model)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if "http://" in line:
                yield next(word for word in line.split() if word.startswith("http://"))
                break
        else:
            pytest.fail(f"the server did not start: {said}")
        server.terminate()


def test_page_with_a_real_server(browser: "Browser", address: str, tmp_path: Path) -> None:
    from tests.browser.fake_server import FakeServer

    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    studio = Studio(context.new_page(), FakeServer(), address)
    watch(studio)
    page = studio.page
    page.goto(address)
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Open the studio").click()
    studio.says("Ready")
    studio.begin("a red ring")
    studio.plays()
    assert page.evaluate("[canvas.width, canvas.height]") == [24, 16]
    page.get_by_label("Prompt", exact=True).fill("a green star")
    page.get_by_role("button", name="Change prompt").click()
    studio.until("document.getElementById('caption').textContent === 'a green star'")
    assert page.get_by_role("group", name="Prompt changes").get_by_role("button").count() == 2
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as mp4").click()
    clip = tmp_path / "clip.mp4"
    download.value.save_as(clip)
    page.locator("#file").set_input_files(clip)
    page.get_by_role("button", name="Continue").click()
    studio.until("document.getElementById('source').hidden")
    studio.plays()
    page.get_by_text("View", exact=True).click()
    page.get_by_role("radio", name="Video").check()
    studio.until(
        "!document.getElementById('live-video').hidden && document.getElementById('live-video').currentTime > 0.5"
    )
    page.get_by_role("button", name="Pause").click()
    studio.says("Paused")
    page.get_by_role("button", name="Stop").click()
    studio.says("Ended")
    studio.until("document.querySelectorAll('#gallery li').length === 2")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Top p").fill("3")
    page.get_by_role("button", name="Generate").click()
    studio.warns("top_p")
    studio.until("document.activeElement.id === 'top_p'")
    page.get_by_role("button", name="Reset to the model's defaults").click()
    renamed = {"origin": "https://studio.example.org"}  # as behind a proxy that replaces the Host header
    page.route("**/v1/streams", lambda route: route.fulfill(response=route.fetch(headers=renamed)))
    page.get_by_role("button", name="Generate").click()
    studio.warns("--name")
    context.close()
    assert studio.problems == []
