"""The prompt box: notes of the server, and earlier prompts."""

from tests.browser.conftest import GREEN, RING, Studio

NOTE = "the model does not know 'crimson'; the nearest word that it knows is 'red'"


def prompt_text(studio: Studio) -> str:
    return studio.page.get_by_label("Prompt", exact=True).input_value()


def change_prompt(studio: Studio, prompt: str) -> None:
    studio.page.get_by_label("Prompt", exact=True).fill(prompt)
    studio.page.get_by_role("button", name="Change prompt").click()
    studio.until(f"document.getElementById('caption').textContent === {prompt!r}")


def test_note_is_shown_at_the_prompt(studio: Studio) -> None:
    studio.fake.behavior.note = NOTE
    studio.open()
    studio.begin("a crimson ring")
    note = studio.page.locator("#composer").get_by_text(NOTE.capitalize().replace("Crimson", "crimson"))
    note.wait_for()
    described = str(studio.page.get_by_label("Prompt", exact=True).get_attribute("aria-describedby"))
    assert note.get_attribute("id") in described.split()
    studio.plays()
    studio.fake.behavior.note = ""
    change_prompt(studio, GREEN)
    assert not note.is_visible()


def test_list_of_earlier_prompts(studio: Studio) -> None:
    studio.open()
    assert studio.page.get_by_role("button", name="Earlier prompts").is_disabled()
    studio.begin()
    studio.plays()
    change_prompt(studio, GREEN)
    change_prompt(studio, RING)
    studio.page.reload()
    studio.says("Ready")
    studio.page.get_by_role("button", name="Earlier prompts").click()
    listed = studio.page.locator("#history-list").get_by_role("button")
    assert listed.all_text_contents() == [RING, GREEN]  # newest first, each once
    listed.nth(1).click()
    assert prompt_text(studio) == GREEN
    studio.until("document.activeElement.id === 'prompt'")
    studio.page.get_by_role("button", name="Earlier prompts").click()
    studio.page.get_by_role("button", name="Remove all", exact=True).click()
    assert studio.page.get_by_role("button", name="Earlier prompts").is_disabled()
    studio.page.reload()
    studio.says("Ready")
    assert studio.page.get_by_role("button", name="Earlier prompts").is_disabled()


def test_arrow_keys_recall_earlier_prompts(studio: Studio) -> None:
    keys = studio.page.keyboard
    studio.open()
    studio.begin()
    studio.plays()
    change_prompt(studio, GREEN)
    field = studio.page.get_by_label("Prompt", exact=True)
    field.fill("not yet sent")
    keys.press("ArrowUp")  # inside the text, Up moves the caret
    assert prompt_text(studio) == "not yet sent"
    field.evaluate("(field) => field.setSelectionRange(0, 0)")
    seen = []
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
        keys.press(key)
        seen.append(prompt_text(studio))
    assert seen == [GREEN, RING, RING, GREEN, "not yet sent"]


def test_foreign_stored_values_are_ignored(studio: Studio) -> None:
    studio.page.goto(studio.url)
    for stored in ("{", '{"a": 1}', '[1, null, "a ring"]'):
        studio.page.evaluate("(text) => localStorage.setItem('videogen.prompts', text)", stored)
        studio.page.reload()
        studio.says("Ready")
    studio.page.get_by_role("button", name="Earlier prompts").click()
    assert studio.page.locator("#history-list").get_by_role("button").all_text_contents() == ["a ring"]
