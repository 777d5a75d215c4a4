"""Logout from a server with a token."""

from tests.browser.conftest import RING, Studio
from tests.browser.test_saving import STORED

TOKEN = "correct horse battery"


def log_in(studio: Studio) -> None:
    studio.fake.behavior.token = TOKEN
    studio.page.goto(studio.url)
    studio.page.get_by_label("Token", exact=True).fill(TOKEN)
    studio.page.get_by_label("Token", exact=True).press("Enter")
    studio.says("Ready")


def test_no_logout_without_a_token(studio: Studio) -> None:
    studio.open()
    assert not studio.page.get_by_role("button", name="Log out").is_visible()


def test_logout_saves_the_running_video(studio: Studio) -> None:
    log_in(studio)
    studio.page.reload()  # the cookie is still valid
    studio.says("Ready")
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Log out").click()
    studio.page.get_by_role("button", name="Cancel").click()
    studio.says("Playing")
    studio.page.get_by_role("button", name="Log out").click()
    studio.page.locator("#confirm-act").click()
    studio.page.get_by_label("Token", exact=True).wait_for()
    assert studio.fake.streams[0].deleted
    assert not studio.page.context.cookies()
    assert studio.page.evaluate(STORED) == {"videos": 1, "unfinished": 0}


def test_logout_can_remove_all_data(studio: Studio) -> None:
    log_in(studio)
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Save this video").click()
    studio.page.locator("#gallery li").wait_for()
    studio.page.get_by_role("button", name="Log out").click()
    studio.page.get_by_label("Also remove my videos and prompts from this browser").check()
    studio.page.locator("#confirm-act").click()
    studio.page.get_by_label("Token", exact=True).wait_for()
    assert studio.fake.streams[0].deleted
    assert studio.page.evaluate(STORED) == {"videos": 0, "unfinished": 0}
    assert RING not in studio.page.evaluate("JSON.stringify(localStorage)")
