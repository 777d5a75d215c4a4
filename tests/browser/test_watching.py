"""Generate, watch, change, seek and stop, with real clicks in a browser."""

from typing import TYPE_CHECKING

from tests.browser.conftest import GREEN, PIXELS, RING, Studio

if TYPE_CHECKING:
    from playwright.sync_api import Dialog

RED_SEEN, GREEN_SEEN = (216, 57, 47), (47, 168, 79)


def test_prompt_generates_a_video(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.sees(RED_SEEN)
    studio.plays()
    assert studio.fake.requests == [{"prompt": RING, "transition": "recache"}]  # unchanged settings are not sent
    assert studio.page.locator("#caption").text_content() == RING


def test_untouched_sliders_send_nothing(studio: Studio) -> None:
    """A slider shows 4 for the model's 4.1: the request must not contain it."""
    studio.fake.behavior.sampler |= {"guidance_scale": 4.1, "temperature": 0.93}
    studio.open()
    studio.begin()
    studio.plays()
    assert studio.fake.requests == [{"prompt": RING, "transition": "recache"}]
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Guidance").fill("2")
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="New video", exact=True).click()
    studio.until(f"document.getElementById('caption').textContent === {GREEN!r}")
    assert studio.fake.requests[1:] == [{"prompt": GREEN, "transition": "recache", "guidance_scale": 2}]


def test_example_fills_the_prompt(studio: Studio) -> None:
    studio.open()
    example = studio.page.get_by_role("group", name="Examples").get_by_role("button").first
    example.click()
    assert studio.page.get_by_label("Prompt", exact=True).input_value() == example.text_content()


def test_frames_keep_size_and_rate(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    size = studio.page.evaluate("[canvas.width, canvas.height, getComputedStyle(canvas).imageRendering]")
    assert size == [64, 64, "pixelated"]
    before, began = studio.place(), studio.page.evaluate("performance.now()")
    studio.until(f"performance.now() - {began} > 1000")
    passed = (studio.page.evaluate("performance.now()") - began) / 1000
    assert studio.place() - before <= 8 * passed + 5  # in real time, with slack for slow machines


def test_new_prompt_sets_a_mark(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="Change prompt").click()
    studio.sees(GREEN_SEEN)
    marks = studio.page.get_by_role("group", name="Prompt changes").get_by_role("button").all()
    titles = [str(mark.get_attribute("title")) for mark in marks]
    assert [title.partition(" s: ")[2] for title in titles] == [RING, GREEN]
    assert studio.page.locator("#caption").text_content() == GREEN
    assert studio.fake.streams[0].changes == [{"prompt": GREEN, "transition": "recache"}]
    assert len(studio.fake.streams) == 1


def test_mark_seeks_to_its_frame(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Pause").click()
    studio.says("Paused")
    studio.page.get_by_role("group", name="Prompt changes").get_by_role("button").first.click()
    studio.until("document.getElementById('scrub').value === '0'")
    assert studio.page.get_by_role("button", name="Live").get_attribute("aria-pressed") == "false"
    studio.page.get_by_role("button", name="Live").click()
    studio.until("document.getElementById('scrub').value === document.getElementById('scrub').max")


def test_seeking_back_shows_the_same_frame(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Pause").click()
    studio.says("Paused")
    seen = []
    for place in ("2", "4", "2"):
        studio.page.get_by_label("Current frame").fill(place)
        studio.until(f"document.getElementById('clock').textContent === ({place} / 8).toFixed(1) + ' s'")
        studio.page.wait_for_timeout(100)
        seen.append(studio.page.evaluate("canvas.toDataURL()"))
    assert seen[0] == seen[2] != seen[1]


def test_pause_pauses_the_server(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Pause").click()
    studio.says("Paused")
    assert studio.fake.streams[0].status == "paused"
    studio.page.get_by_role("button", name="Play", exact=True).click()
    studio.says("Playing")
    assert studio.fake.streams[0].status == "playing"


def test_stop_saves_the_video(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Stop").click()
    studio.says("Ended")
    kept = studio.page.locator("#gallery li")
    kept.wait_for()
    assert studio.fake.streams[0].deleted
    kept.get_by_role("button", name="Watch").click()
    studio.until("document.getElementById('viewer-video').videoWidth === 64")
    studio.page.get_by_role("button", name="Close", exact=True).click()
    kept.get_by_role("button", name="Remove").click()
    assert kept.count() == 0
    studio.page.get_by_role("button", name="Play", exact=True).click()  # the frames are still there
    studio.until("document.getElementById('scrub').value < 4")


def test_finished_video_is_saved(studio: Studio) -> None:
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Length").select_option("2 seconds")
    studio.begin()
    studio.says("Ended")
    studio.page.locator("#gallery li").wait_for()
    assert studio.fake.requests[0]["seconds"] == 2


def test_new_video_stops_the_old_one(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="New video", exact=True).click()
    studio.sees(GREEN_SEEN)
    studio.page.locator("#gallery li").wait_for()
    assert [stream.deleted for stream in studio.fake.streams] == [True, False]


def test_changed_settings_are_sent(studio: Studio) -> None:
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Seed").fill("7")
    studio.page.get_by_label("Steps").fill("4")
    studio.page.get_by_label("Order").select_option("random")
    studio.begin()
    studio.plays()
    assert studio.fake.requests == [{"prompt": RING, "transition": "recache", "seed": 7, "steps": 4, "order": "random"}]
    assert studio.page.locator("#stats").get_by_text("7", exact=True).count() == 1


def test_video_plays_with_media_source(studio: Studio) -> None:
    studio.open()
    studio.page.get_by_text("View", exact=True).click()
    studio.page.get_by_role("radio", name="Video").check()
    studio.begin()
    studio.until(
        "!document.getElementById('live-video').hidden && document.getElementById('live-video').currentTime > 0.5"
    )
    assert studio.page.evaluate("document.getElementById('live-video').videoWidth") == 64


def test_mask_is_shown(studio: Studio) -> None:
    studio.fake.behavior.hold_mask = 5
    studio.open()
    studio.begin()
    studio.plays()
    studio.until("document.getElementById('stage').dataset.deciding === 'yes'")
    share = f"({PIXELS})(document.getElementById('tokens')).painted"
    held = studio.page.evaluate(share)
    studio.fake.behavior.hold_mask = None
    studio.until("document.getElementById('stage').dataset.deciding === 'no'")
    assert 0.05 < held < 0.4 < studio.page.evaluate(share)


def test_leaving_the_page_stops_the_stream(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.goto("about:blank")
    while not studio.fake.streams[0].deleted:
        studio.page.wait_for_timeout(20)


def test_download_is_a_readable_mp4(studio: Studio, tmp_path: object) -> None:
    import av

    studio.open()
    studio.begin()
    studio.plays()
    with studio.page.expect_download() as download:
        studio.page.get_by_role("button", name="Download as mp4").click()
    assert download.value.suggested_filename == "a-large-red-ring-drifts-left-slowly-over-a-dark.mp4"
    with av.open(str(download.value.path())) as film:
        assert sum(1 for _ in film.decode(video=0)) > 4


def test_slower_than_real_time_is_shown(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.fake.behavior.speed = 0.0625
    studio.says("Slower than real time")
    studio.until("document.getElementById('pace').textContent === '0.5 of 8.0 frames per second'")
    assert "Playing" not in str(studio.page.locator("header").text_content())
    studio.fake.behavior.speed = 0.99
    studio.says("Playing")
    assert studio.page.locator("#pace").text_content() == ""


def test_closing_the_page_asks_first(studio: Studio) -> None:
    asked: list[str] = []

    def answer(dialog: "Dialog") -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    studio.open()
    studio.page.on("dialog", answer)
    studio.begin()
    studio.plays()
    studio.page.close(run_before_unload=True)
    while not asked:
        studio.page.wait_for_timeout(20)
    assert asked == ["beforeunload"]
    assert not studio.fake.streams[0].deleted  # the user stays on the page
    studio.page.get_by_role("button", name="Stop").click()
    studio.says("Ended")
    with studio.page.expect_event("close"):
        studio.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]
