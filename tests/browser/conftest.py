"""A browser, a page, and the fake server behind it; without a browser these tests are skipped."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.browser.fake_server import FakeServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 180_000  # milliseconds to wait for something on the page; shared machines are slow
POLL = 20  # milliseconds
RING = "a large red ring drifts left slowly over a dark blue background"
GREEN = "a big green disc stays still over a maroon background"


@dataclass
class Studio:
    """The page, and the fake server with its record of requests."""

    page: "Page"
    fake: "FakeServer"
    url: str
    problems: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.page.goto(self.url)
        self.says("Ready")

    def begin(self, prompt: str = RING) -> None:
        self.page.get_by_label("Prompt", exact=True).fill(prompt)
        self.page.get_by_role("button", name="Generate").click()

    def plays(self) -> None:
        """Wait until a few frames have been shown."""
        self.says("Playing")
        self.until("document.getElementById('scrub').max > 4")

    def says(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.get_by_role("status").first).to_contain_text(text)

    def warns(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#notice")).to_contain_text(text)

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true; polls, because the page's policy forbids eval."""
        for _ in range(PATIENCE // POLL):
            if self.page.evaluate(f"Boolean({condition})"):
                return
            self.page.wait_for_timeout(POLL)
        pytest.fail(f"never came true: {condition}")

    def sees(self, color: tuple[int, int, int]) -> None:
        """Wait until a part of the frame has about this color."""
        self.until(f"({PIXELS})(document.getElementById('canvas')).near({list(color)}) > 0.04")

    def place(self) -> int:
        return int(self.page.get_by_label("Current frame").input_value())


# Shares of a canvas that are painted, and near a color. Reads a copy, so that the canvas itself stays fast.
PIXELS = """(canvas) => {
  const copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width || 1, height: canvas.height || 1 });
  const brush = copy.getContext("2d", { willReadFrequently: true });
  if (canvas.width) brush.drawImage(canvas, 0, 0);
  const { data } = brush.getImageData(0, 0, copy.width, copy.height);
  const share = (wanted) => {
    let count = 0;
    for (let at = 0; at < data.length; at += 4) count += data[at + 3] > 0 && wanted(at);
    return count / (copy.width * copy.height);
  };
  const close = (color) => (at) => color.every((value, channel) => Math.abs(value - data[at + channel]) < 40);
  return { painted: share(() => true), near: (color) => share(close(color)) };
}"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder as browser tests."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    for module in ("starlette", "uvicorn"):
        pytest.importorskip(module, reason="the server's packages are not installed: the extra [serve]")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(BROWSERS)}")
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def studio(browser: "Browser") -> Iterator[Studio]:
    """The page, not yet opened. Asserts at the end that there were no errors and no requests to other servers."""
    from tests.browser.fake_server import FakeServer, serving

    fake = FakeServer()
    with serving(fake.app()) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE)
        studio = Studio(context.new_page(), fake, url)
        watch(studio)
        yield studio
        context.close()
    assert studio.problems == []


def watch(studio: Studio) -> None:
    def heard(message: "ConsoleMessage") -> None:
        expected = "Failed to load resource" in message.text  # errors that a test has caused
        if message.type in ("error", "warning") and not expected:
            studio.problems.append(message.text)

    def asked(request: "Request") -> None:
        if not request.url.startswith((studio.url, "blob:" + studio.url)):
            studio.problems.append(f"asked for {request.url}")

    def broke(error: Any) -> None:
        studio.problems.append(str(error))

    studio.page.on("console", heard)
    studio.page.on("request", asked)
    studio.page.on("pageerror", broke)
