"""Videos saved in the browser: across reloads, with their requests, within limits, until removed."""

import io

from PIL import Image

from tests.browser.conftest import GREEN, RING, Studio

STORED = """async () => {
  const { Library } = await import("/page/library.js");
  const library = new Library();
  await library.open();
  return { videos: (await library.all("videos")).length, unfinished: (await library.all("unfinished")).length };
}"""

# Stores videos of a size in bytes.
FILL = """async ([count, bytes]) => {
  const { Library } = await import("/page/library.js");
  const library = new Library();
  await library.open();
  for (let number = 0; number < count; number += 1) {
    const prompts = [{ seconds: 0, prompt: `video ${number}` }];
    const [mp4, thumbnail] = [new Blob([new Uint8Array(bytes)]), new Blob([new Uint8Array(10)])];
    const about = { model: "m", prompt: "p", settings: {}, seed: 1, source: null };
    const video = { id: `id ${number}`, createdAt: 1000 + number, prompts, mp4, thumbnail, duration: 2 };
    await library.put("videos", { ...video, ...about });
  }
}"""


def count_saved(studio: Studio) -> int:
    return studio.page.locator("#gallery li").count()


def has(studio: Studio, count: int) -> None:
    """Wait for a number of saved videos; the page reads its storage after it is ready."""
    studio.until(f"document.querySelectorAll('#gallery li').length === {count}")


def make_one(studio: Studio, prompt: str = RING) -> None:
    before = count_saved(studio)
    studio.begin(prompt)
    studio.plays()
    studio.page.get_by_role("button", name="Stop").click()
    studio.says("Ended")
    studio.until(f"document.querySelectorAll('#gallery li').length > {before}")


def reload(studio: Studio) -> None:
    """Reload the page."""
    studio.page.reload()
    studio.says("Ready")


def test_saved_video_survives_a_reload(studio: Studio) -> None:
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Steps").fill("4")
    studio.page.get_by_label("Seed").fill("77")
    studio.page.get_by_label("Negative prompt").fill("a disc")
    make_one(studio)
    reload(studio)
    studio.page.locator("#gallery").get_by_role("button", name="Watch").click()
    studio.until("document.getElementById('viewer-video').videoWidth === 64")
    facts = studio.page.locator("#viewer-details div").all_inner_texts()
    told = dict(fact.split("\n") for fact in facts)
    assert told["From 0.0 s"] == RING
    assert (told["Seed"], told["Steps"], told["Negative prompt"], told["Model"]) == ("77", "4", "a disc", "playroom")
    with studio.page.expect_download() as download:
        studio.page.locator("#viewer-download").click()
    assert download.value.suggested_filename.endswith(".mp4")


def test_settings_are_reused(studio: Studio) -> None:
    studio.fake.behavior.sampler |= {"guidance_scale": 4.1}  # between two steps of the slider
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Steps").fill("4")
    studio.page.get_by_label("Length").select_option("2 seconds")
    studio.page.get_by_label("Order").select_option("random")
    studio.begin()
    studio.says("Ended")
    studio.page.locator("#gallery li").wait_for()
    reload(studio)
    studio.page.locator("#gallery").get_by_role("button", name="Reuse settings").click()
    assert studio.page.get_by_label("Prompt", exact=True).input_value() == RING
    assert studio.page.get_by_label("Seed").is_visible()  # the settings panel opens
    studio.page.get_by_role("button", name="Generate").click()
    studio.says("Ended")
    first, second = studio.fake.requests
    assert second == {**first, "seed": 20240}  # the seed that the server chose


def test_source_is_reused(studio: Studio) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "olive").save(out, "PNG")
    studio.open()
    file = {"name": "tree.png", "mimeType": "image/png", "buffer": out.getvalue()}
    studio.page.locator("#file").set_input_files([file])  # type: ignore[list-item]
    studio.page.get_by_role("button", name="Continue").click()
    studio.plays()
    studio.page.get_by_role("button", name="Stop").click()
    studio.page.locator("#gallery li").wait_for()
    reload(studio)
    studio.page.locator("#gallery").get_by_role("button", name="Reuse settings").click()
    studio.page.get_by_role("button", name="Continue", exact=True).click()
    studio.plays()
    assert studio.fake.uploads == [("image", out.getvalue())] * 2


def test_stream_is_recovered_after_a_reload(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="Change prompt").click()
    studio.until(f"document.getElementById('caption').textContent === {GREEN!r}")
    reload(studio)
    studio.page.locator("#gallery li").get_by_text(f"{RING} → {GREEN}"[:79], exact=False).wait_for()
    studio.page.locator("#gallery").get_by_role("button", name="Watch").click()
    studio.until("document.getElementById('viewer-video').videoWidth === 64")
    studio.until("document.querySelector('#gallery img').naturalWidth === 64")
    assert studio.page.evaluate(STORED) == {"videos": 1, "unfinished": 0}


def test_longer_version_replaces_a_shorter_one(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Save this video").click()
    studio.page.locator("#gallery li").wait_for()
    studio.until("document.getElementById('scrub').max > 20")
    studio.page.get_by_role("button", name="Stop").click()
    studio.until("!document.querySelector('#gallery .details').textContent.startsWith('0')")
    studio.until("document.querySelectorAll('#gallery li').length === 1")
    reload(studio)
    has(studio, 1)


# Writes records of version 1 of the database.
FILL_VERSION_1 = """() => new Promise((resolve, reject) => {
  const request = indexedDB.open("videogen", 1);
  request.onupgradeneeded = () => {
    for (const name of ["videos", "unfinished"]) request.result.createObjectStore(name, { keyPath: "id" });
    const about = { model: "m", prompt: "p", settings: {}, beginning: { kind: "clip", blob: null, name: "old.mp4" } };
    const [film, still] = [new Blob([new Uint8Array(9)]), new Blob([new Uint8Array(9)])];
    const prompts = [{ seconds: 0, prompt: "old" }];
    const video = { id: "old", made: 1000, prompts, film, still, length: 2, seed: 1 };
    request.transaction.objectStore("videos").put({ ...video, ...about });
    request.transaction.objectStore("unfinished").put({ id: "gone", kind: "stream", about });
  };
  request.onerror = () => reject(request.error);
  request.onsuccess = () => { request.result.close(); resolve(); };
})"""


def test_videos_of_an_older_version_are_upgraded(studio: Studio) -> None:
    studio.page.goto(f"{studio.url}/page/icon.svg")
    studio.page.evaluate(FILL_VERSION_1)
    studio.open()
    has(studio, 1)
    assert "2.0 s, 9 bytes" in studio.page.locator("#gallery li").inner_text()
    studio.until(f"({STORED})().then((stored) => (window.left = stored.unfinished), () => {{}}) && window.left === 0")
    studio.page.locator("#gallery").get_by_role("button", name="Reuse settings").click()
    studio.warns("old.mp4")


def test_videos_are_removed(studio: Studio) -> None:
    studio.page.goto(studio.url)
    studio.says("Ready")
    studio.page.evaluate(FILL, [3, 100])
    reload(studio)
    has(studio, 3)
    studio.page.locator("#gallery li").get_by_text("video 1").locator("..").get_by_role("button", name="Remove").click()
    reload(studio)
    has(studio, 2)
    assert [text.strip() for text in studio.page.locator("#gallery li > p").all_inner_texts()] == ["video 2", "video 0"]
    studio.page.get_by_role("button", name="Remove all videos").click()
    studio.page.get_by_role("button", name="Cancel").click()
    has(studio, 2)
    studio.page.get_by_role("button", name="Remove all videos").click()
    studio.page.get_by_role("button", name="Remove all", exact=True).click()
    studio.until("document.querySelectorAll('#gallery li').length === 0")
    reload(studio)
    has(studio, 0)


def test_oldest_videos_are_evicted(studio: Studio) -> None:
    studio.open()
    studio.page.evaluate(FILL, [100, 100])
    reload(studio)
    has(studio, 100)
    studio.page.get_by_text("100 videos").wait_for()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Save this video").click()
    studio.says("Saved to your videos")
    studio.until("!document.getElementById('gallery').textContent.includes('video 0')")
    has(studio, 100)
    assert studio.page.evaluate(STORED)["videos"] == 100


def test_tabs_are_in_sync(studio: Studio) -> None:
    studio.open()
    other = studio.page.context.new_page()
    other.goto(studio.url)
    make_one(studio)
    other.locator("#gallery li").wait_for()
    other.locator("#gallery").get_by_role("button", name="Remove", exact=False).last.click()
    studio.until("document.querySelectorAll('#gallery li').length === 0")
    other.close()


def test_browser_without_storage(studio: Studio) -> None:
    studio.page.add_init_script("IDBFactory.prototype.open = () => { throw new DOMException('', 'SecurityError'); }")
    studio.open()
    studio.page.get_by_text("This browser stores nothing for this page").wait_for()
    make_one(studio)
    has(studio, 1)


def test_browser_without_room(studio: Studio) -> None:
    studio.page.add_init_script("""IDBObjectStore.prototype.put = function (record) {
      if (record.mp4) throw new DOMException("", "QuotaExceededError");
    }""")
    studio.open()
    make_one(studio)
    studio.warns("The browser has no room for this video")
    other = studio.page.context.new_page()
    other.goto(studio.url)
    other.evaluate(FILL, [1, 10])
    has(studio, 2)  # also after another tab stores one
    other.close()


def test_variations(studio: Studio) -> None:
    studio.fake.behavior.job_progress = 40
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Variations").select_option("3")
    studio.page.get_by_label("Steps").fill("4")
    studio.page.get_by_label("Prompt", exact=True).fill(RING)
    studio.page.get_by_role("button", name="3 variations").click()
    studio.until("document.querySelectorAll('#gallery progress[value=\"0.4\"]').length === 3")
    assert [job.params for job in studio.fake.jobs] == [{"prompt": RING, "steps": 4}] * 3
    reload(studio)  # they are recovered
    studio.until("document.querySelectorAll('#gallery progress').length === 3")
    studio.page.get_by_role("button", name="Cancel").first.click()
    studio.until("document.querySelectorAll('#gallery progress').length === 2")
    studio.fake.behavior.job_progress = 100
    studio.until("document.querySelectorAll('#gallery .saved').length === 2")
    studio.page.locator("#gallery").get_by_role("button", name="Reuse settings").first.click()
    seed = int(studio.page.get_by_label("Seed").input_value())
    assert seed in {job.seed for job in studio.fake.jobs}
    studio.until("document.querySelectorAll('#gallery progress').length === 0")
    while not all(job.deleted for job in studio.fake.jobs):  # deleted from the server
        studio.page.wait_for_timeout(20)
    assert studio.page.evaluate(STORED) == {"videos": 2, "unfinished": 0}


def test_variations_have_consecutive_seeds(studio: Studio) -> None:
    studio.open()
    studio.page.get_by_text("Settings", exact=True).click()
    studio.page.get_by_label("Seed").fill("7")
    studio.page.get_by_label("Prompt", exact=True).fill(RING)
    studio.page.get_by_role("button", name="4 variations").click()
    studio.until("document.querySelectorAll('#gallery .saved').length === 4")
    assert [job.seed for job in studio.fake.jobs] == [7, 8, 9, 10]


def test_saved_videos_play_on_hover(studio: Studio) -> None:
    studio.page.emulate_media(reduced_motion="no-preference")
    studio.open()
    make_one(studio)
    studio.page.locator("#gallery .saved").hover()
    studio.until("document.querySelector('#gallery .saved video')?.currentTime > 0.2")
    studio.page.mouse.move(5, 5)
    studio.until("!document.querySelector('#gallery .saved video')")


def test_failed_variation_is_reported(studio: Studio) -> None:
    studio.fake.behavior.job_error = "the model process died; it was started again"
    studio.open()
    studio.page.get_by_role("button", name="4 variations").click()
    studio.warns("A variation failed: the model process died")
    studio.until("document.querySelectorAll('#gallery li').length === 0")
    assert studio.page.evaluate(STORED) == {"videos": 0, "unfinished": 0}
