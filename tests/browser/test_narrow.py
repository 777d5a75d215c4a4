"""Phones: nothing is wider than the screen, and controls are large enough."""

from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import GREEN, RING, Studio

LONG = f"{RING}, {'x' * 90} and then {GREEN} " * 6
WIDTHS = (320, 360, 390, 414)

# Checks each screen refresh for elements that reach beyond the page, even for a moment.
WATCH = """(() => {
  window.wide = new Set();
  const scrolls = (one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX);
  const inside = (one) => one.closest(".visually-hidden, svg, #stage") || [...ancestors(one)].some(scrolls);
  function* ancestors(one) {
    for (let up = one.parentElement; up && up !== document.body; up = up.parentElement) yield up;
  }
  const look = () => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) window.wide.add(`page ${document.documentElement.scrollWidth}`);
    for (const one of document.body.querySelectorAll("*")) {
      const { left, right } = one.getBoundingClientRect();
      if ((right > width + 0.5 || left < -0.5) && one.checkVisibility() && !inside(one)) {
        window.wide.add(`${one.tagName} ${one.id || one.className} ${Math.round(left)} to ${Math.round(right)}`);
      }
    }
    requestAnimationFrame(look);
  };
  look();
})()"""

SMALL = """[...document.querySelectorAll("button, a[href], select, textarea, summary, input, label:has(input)")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(".visually-hidden"))
  .filter((one) => !(one.matches(".visually-hidden, fieldset input")))  // a radio button is used through its label
  .map((one) => [one.id || one.className || one.textContent, one.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 24 || height < 24)
  .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def wide(studio: Studio) -> list[str]:
    found: list[str] = studio.page.evaluate("[...window.wide]")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_a_phone(studio: Studio, width: int, tmp_path: Path) -> None:
    page, behavior = studio.page, studio.fake.behavior
    page.set_viewport_size({"width": width, "height": 640})
    studio.open()
    page.evaluate(WATCH)
    behavior.note = (
        "the model does not know 'crimson', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; it knows red"
    )
    studio.begin(LONG)
    studio.plays()
    for prompt in (GREEN, LONG + "!", RING):
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_role("button", name="Change prompt").click()
        studio.until(f"document.getElementById('caption').textContent === {prompt.strip()!r}")
    behavior.speed = 0.06
    studio.says("Slower than real time")
    behavior.queue = 12
    studio.says("Waiting, position 12")
    behavior.queue, behavior.speed = 0, None
    studio.says("Playing")
    picture = tmp_path / f"{'a very long name ' * 6}{'x' * 80}.png"
    Image.new("RGB", (40, 30), "olive").save(picture)
    page.locator("#file").set_input_files(picture)
    page.get_by_text("Settings", exact=True).click()
    page.get_by_text("View", exact=True).click()
    behavior.refuse = (503, {"message": f"too many {'y' * 120} wait", "code": "busy"})
    behavior.retry_after = 600
    page.get_by_role("button", name="Continue").click()
    studio.warns("Too many")
    page.get_by_role("button", name="Earlier prompts").click()
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    page.locator("#gallery").get_by_role("button", name="Watch").click()
    page.get_by_role("button", name="Close", exact=True).click()
    behavior.token = "correct horse battery"
    page.get_by_role("button", name="Continue", exact=True).click()
    page.get_by_label("Token", exact=True).fill("wrong")
    page.get_by_label("Token", exact=True).press("Enter")
    page.get_by_text("That is not the token.").wait_for()
    assert wide(studio) == []


@pytest.mark.parametrize("width", [320, 1280])
def test_controls_are_large_enough(studio: Studio, width: int) -> None:
    """At least 24 x 24 pixels."""
    studio.page.set_viewport_size({"width": width, "height": 640})
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="Change prompt").click()
    studio.sees((47, 168, 79))
    studio.page.get_by_role("button", name="Save this video").click()
    studio.page.locator("#gallery li").wait_for()
    small = set()
    for name in ("settings", "view"):
        studio.page.evaluate(f"document.getElementById('{name}').open = true")
        small |= set(studio.page.evaluate(SMALL))
    assert small == set()


def test_model_name_is_shown_on_small_screens(studio: Studio) -> None:
    studio.page.set_viewport_size({"width": 320, "height": 640})
    studio.open()
    assert studio.page.get_by_text("playroom", exact=True).is_visible()


def test_examples_are_not_cut(studio: Studio) -> None:
    studio.open()
    for width in (320, 1280):
        studio.page.set_viewport_size({"width": width, "height": 800})
        cut = "(one) => one.scrollWidth > one.clientWidth || one.getBoundingClientRect().right > innerWidth"
        assert studio.page.evaluate(f"[...document.querySelectorAll('.example')].filter({cut}).length") == 0


def test_prompt_box_grows(studio: Studio) -> None:
    studio.page.set_viewport_size({"width": 320, "height": 640})
    studio.open()
    height = "document.getElementById('prompt').clientHeight"
    before = studio.page.evaluate(height)
    studio.page.get_by_label("Prompt", exact=True).fill(f"{RING} and {GREEN}")
    grown = studio.page.evaluate(height)
    assert grown > before
    assert studio.page.evaluate(f"document.getElementById('prompt').scrollHeight <= {grown}")
    studio.page.get_by_label("Prompt", exact=True).fill("word " * 400)
    assert studio.page.evaluate(height) < 0.5 * 640  # then it scrolls
    studio.page.get_by_label("Prompt", exact=True).fill("")
    assert studio.page.evaluate(height) == before
