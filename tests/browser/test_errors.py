"""Errors are shown in one line, at the field that caused them."""

from tests.browser.conftest import GREEN, RING, Studio


def test_busy_server_is_retried_after_its_delay(studio: Studio) -> None:
    studio.fake.behavior.refuse = (503, {"message": "the model works on 4 videos and 16 wait", "code": "busy"})
    studio.fake.behavior.retry_after = 600
    studio.open()
    studio.begin()
    studio.warns("The model works on 4 videos and 16 wait.")
    assert studio.page.locator("#notice-action").is_disabled()
    studio.fake.behavior.retry_after = 1
    studio.page.get_by_role("button", name="Generate").click()
    studio.until("!document.getElementById('notice-action').disabled")
    studio.fake.behavior.refuse = None
    studio.page.get_by_role("button", name="Try again", exact=True).click()
    studio.plays()
    assert not studio.page.locator("#notice").is_visible()


def test_refused_request_keeps_the_current_video(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.fake.behavior.refuse = (503, {"message": "too many wait", "code": "busy"})
    studio.page.get_by_role("button", name="New video", exact=True).click()
    studio.warns("Too many wait.")
    studio.says("Playing")
    assert not studio.fake.streams[0].deleted


def test_queue_position_is_shown(studio: Studio) -> None:
    studio.fake.behavior.queue = 2
    studio.open()
    studio.begin()
    studio.says("Waiting, position 2")
    studio.fake.behavior.queue = 1
    studio.says("Waiting, position 1")
    studio.fake.behavior.queue = 0
    studio.plays()


def test_queue_position_is_shown_between_turns(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.fake.behavior.queue = 2
    studio.says("Waiting, position 2")
    studio.fake.behavior.queue = 1
    studio.says("Waiting, position 1")
    studio.fake.behavior.queue = 0
    studio.says("Playing")


def test_invalid_setting_is_focused(studio: Studio) -> None:
    studio.fake.behavior.refuse = (400, {"message": "top_p is 3; it must be at most 1", "param": "top_p"})
    studio.open()
    studio.begin()
    studio.warns("top_p is 3; it must be at most 1")
    studio.until("document.activeElement.id === 'top_p'")
    assert studio.page.get_by_label("Top p").get_attribute("aria-invalid") == "true"


def test_invalid_prompt_is_focused(studio: Studio) -> None:
    studio.fake.behavior.refuse = (400, {"message": "prompt is too long for the model", "param": "prompt"})
    studio.open()
    studio.begin()
    studio.warns("prompt is too long for the model")
    studio.until("document.activeElement.getAttribute('aria-invalid') === 'true'")


def test_truncated_prompt_is_reported(studio: Studio) -> None:
    studio.open()
    studio.begin(f"{RING} {'on and on ' * 20}")
    studio.warns("the model ignores the end of it")
    studio.plays()


def test_failed_stream_is_reported(studio: Studio) -> None:
    studio.fake.behavior.fail_at = 9
    studio.open()
    studio.begin()
    studio.warns("The model process died; it was started again.")
    studio.says("Failed")
    assert int(str(studio.page.get_by_label("Current frame").get_attribute("max"))) >= 8


def test_lost_connection_is_reopened(studio: Studio) -> None:
    studio.fake.behavior.cut_at = 9
    studio.open()
    studio.begin()
    studio.until("document.getElementById('scrub').max > 16")
    assert studio.fake.streams[0].cut
    studio.says("Playing")


def test_missing_stream_is_reported(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.fake.behavior.cut_at = 0
    studio.fake.streams.clear()
    studio.warns("There is no such stream.")
    studio.says("Failed")


def test_unreachable_server_is_reported(studio: Studio) -> None:
    studio.open()
    studio.page.route("**/v1/streams", lambda route: route.abort())
    studio.begin()
    studio.warns("The server does not answer. Is videogen serve still running?")
    studio.page.unroute("**/v1/streams")
    studio.page.get_by_role("button", name="Try again").click()
    studio.plays()


def test_answer_of_a_proxy_is_reported(studio: Studio) -> None:
    studio.open()
    studio.page.route("**/v1/streams", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    studio.begin()
    studio.warns("The server answers 502 without a reason.")


def test_text_is_never_markup(studio: Studio) -> None:
    sharp = "<img src=x onerror=alert(1)> &amp; <script>alert(2)</script>"
    studio.fake.behavior.refuse = (400, {"message": sharp})
    studio.open()
    studio.begin(sharp)
    studio.warns(sharp)
    studio.fake.behavior.refuse = None
    studio.page.get_by_role("button", name="Generate").click()
    studio.plays()
    assert studio.page.locator("#caption").text_content() == sharp
    assert studio.page.locator("img, body script").count() == 0


def test_login(studio: Studio) -> None:
    studio.fake.behavior.token = "correct horse battery"
    studio.page.goto(studio.url)
    field = studio.page.get_by_label("Token", exact=True)
    field.fill("wrong")
    field.press("Enter")
    studio.page.get_by_text("That is not the token.").wait_for()
    field.fill("correct horse battery")
    studio.page.get_by_role("button", name="Open the studio").click()
    studio.says("Ready")
    studio.begin()
    studio.plays()
    assert "correct" not in studio.page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, location])"
    )
    studio.page.reload()
    studio.says("Ready")


def test_expired_login_is_renewed(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.fake.behavior.token = "correct horse battery"
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="Change prompt").click()
    studio.page.get_by_label("Token", exact=True).fill("correct horse battery")
    studio.page.get_by_label("Token", exact=True).press("Enter")
    studio.until(f"document.getElementById('caption').textContent === {GREEN!r}")
    assert [change["prompt"] for change in studio.fake.streams[0].changes] == [GREEN]
    assert studio.fake.streams[0].marks[0]["prompt"] == RING
