"""Keyboard access, and what screen readers get."""

import json

from tests.browser.conftest import GREEN, RING, Studio

FOCUSED = "document.activeElement.id || document.activeElement.className"


def tab_to(studio: Studio, wanted: str, key: str = "Tab") -> None:
    for _ in range(60):
        if studio.page.evaluate(FOCUSED) == wanted:
            return
        studio.page.keyboard.press(key)
    raise AssertionError(f"{wanted} is not reached by {key}")


def test_everything_with_the_keyboard(studio: Studio) -> None:
    keys = studio.page.keyboard
    studio.open()
    studio.until(f"{FOCUSED} === 'prompt'")  # ready to type
    keys.type(RING)
    keys.press("Enter")
    studio.plays()
    keys.press("ControlOrMeta+a")
    keys.type(GREEN)
    keys.press("Enter")
    studio.until(f"document.getElementById('caption').textContent === {json.dumps(GREEN)}")
    tab_to(studio, "stage", "Shift+Tab")
    keys.press("Space")
    studio.says("Paused")
    last = studio.place()
    keys.press("ArrowLeft")
    studio.until(f"document.getElementById('scrub').value === '{last - 1}'")
    keys.press("Home")
    studio.until("document.getElementById('scrub').value === '0'")
    keys.press("End")
    keys.press("Space")
    studio.says("Playing")
    tab_to(studio, "download")
    with studio.page.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename.endswith(".mp4")
    tab_to(studio, "stop", "Shift+Tab")
    keys.press("Enter")
    studio.says("Ended")
    studio.until(f"{FOCUSED} === 'prompt'")  # the focus moves from the disabled button
    tab_to(studio, "saved")
    keys.press("Enter")
    studio.until("document.getElementById('viewer').open")
    keys.press("Escape")
    studio.until(f"{FOCUSED} === 'saved'")


def test_focus_is_visible(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    for name in ("settings", "view"):
        studio.page.evaluate(f"document.getElementById('{name}').open = true")
    unmarked = set()
    for _ in range(50):
        studio.page.keyboard.press("Tab")
        seen = studio.page.evaluate("""(() => {
          const shown = document.activeElement.id === "file" ? document.getElementById("drop")
            : document.activeElement.id === "prompt" ? document.getElementById("composer") : document.activeElement;
          return [shown.id || shown.className || shown.tagName, getComputedStyle(shown).outlineStyle];
        })()""")
        unmarked |= {seen[0]} if seen[1] == "none" else set()
    assert unmarked <= {"BODY"}


def test_controls_have_names(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    nameless = studio.page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, a[href]")]
      .filter((one) => !one.closest("dialog:not([open])") && !one.hidden)
      .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML)""")
    assert nameless == []


def test_position_is_announced(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    assert str(studio.page.get_by_label("Current frame").get_attribute("aria-valuetext")).endswith("seconds, newest")
    assert studio.page.locator("#canvas").get_attribute("aria-label") == RING
    assert studio.page.locator("#notice").get_attribute("role") == "alert"


def test_narrow_page_does_not_scroll_sideways(studio: Studio) -> None:
    studio.page.set_viewport_size({"width": 320, "height": 640})
    studio.open()
    studio.begin()
    studio.plays()
    assert studio.page.evaluate("document.documentElement.scrollWidth") == 320


def test_contrast_in_both_themes(studio: Studio) -> None:
    """All text has a contrast of at least 4.5 to 1."""
    studio.open()
    studio.begin()
    studio.plays()
    for scheme in ("light", "dark"):
        studio.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert studio.page.evaluate(FAINT) == []


FAINT = """(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [red, green, blue] = color.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const [red, green, blue, alpha = 1] = numbers(getComputedStyle(one).backgroundColor);
      if (alpha === 1) return [red, green, blue];
    }
    return numbers(getComputedStyle(document.documentElement).backgroundColor);
  };
  return [...document.querySelectorAll("p, h1, h2, span, button, label, dt, dd, output, legend")]
    .filter((one) => one.checkVisibility() && one.textContent.trim() && !one.disabled && !one.closest(".details"))
    .map((one) => {
      const [first, second] = [numbers(getComputedStyle(one).color).slice(0, 3), behind(one)].map(light);
      return [one.textContent.trim().slice(0, 40), (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05)];
    })
    .filter(([, ratio]) => ratio < 4.5);
})()"""
