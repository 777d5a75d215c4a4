"""Sources of a video: dropped, chosen, pasted, saved, or the current frame."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import GREEN, Studio

NAME = "holiday <b>in</b> May.mp4"  # markup stays text


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """An mp4 of a user."""
    pytest.importorskip("uvicorn", reason="the server's packages are not installed: the extra [serve]")
    from tests.browser.fake_video import render, whole_mp4

    path = tmp_path / NAME.replace("/", "_")
    path.write_bytes(whole_mp4(render(number, GREEN) for number in range(12)))
    return path


def drop(studio: Studio, path: Path) -> None:
    """Drag a file over the page and drop it."""
    session = studio.page.context.new_cdp_session(studio.page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 300, "data": data})


def test_dropped_clip_is_continued(studio: Studio, clip: Path) -> None:
    studio.open()
    drop(studio, clip)
    studio.page.locator("#source").get_by_text(clip.name).wait_for()
    studio.page.get_by_label("Prompt", exact=True).fill(GREEN)
    studio.page.get_by_role("button", name="Continue").click()
    studio.plays()
    assert studio.fake.uploads == [("clip", clip.read_bytes())]
    assert studio.fake.requests == [{"prompt": GREEN, "transition": "recache"}]
    assert not studio.page.locator("#source").is_visible()  # the next video has no source


def test_chosen_image_is_continued(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "tree.png"
    Image.new("RGB", (40, 30), "olive").save(path)
    studio.open()
    studio.page.locator("#file").set_input_files(path)
    studio.page.locator("#source-image").wait_for()
    studio.page.get_by_role("button", name="Continue").click()
    studio.plays()
    assert studio.fake.uploads == [("image", path.read_bytes())]
    assert studio.fake.requests == [{"transition": "recache"}]  # no prompt: the server infers it


def test_source_can_be_removed(studio: Studio, clip: Path) -> None:
    studio.open()
    studio.page.locator("#file").set_input_files(clip)
    studio.page.get_by_role("button", name="Remove this file").click()
    studio.begin()
    studio.plays()
    assert studio.fake.uploads == []


def test_current_frame_is_continued(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Start a new video from this frame").click()
    studio.page.get_by_role("button", name="Continue").click()
    studio.until("document.getElementById('source').hidden")
    [(name, content)] = studio.fake.uploads
    assert (name, Image.open(io.BytesIO(content)).size) == ("image", (64, 64))


def test_saved_video_is_continued(studio: Studio) -> None:
    studio.open()
    studio.begin()
    studio.plays()
    studio.page.get_by_role("button", name="Save this video").click()
    studio.page.locator("#gallery").get_by_role("button", name="Continue").click()
    studio.page.get_by_role("button", name="Continue", exact=True).click()
    studio.until("document.getElementById('source').hidden")
    assert [name for name, _ in studio.fake.uploads] == ["clip"]


def test_other_files_are_refused(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no clip")
    studio.open()
    drop(studio, path)
    studio.warns("notes.txt is neither a clip nor an image")
    assert not studio.page.locator("#source").is_visible()


def test_large_files_are_refused(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(bytes(2_000_001))
    studio.open()
    studio.page.locator("#file").set_input_files(path)
    studio.warns("long.mp4 has 2.0 MB; the server accepts at most 2.0 MB")


def test_source_stays_after_an_error(studio: Studio, clip: Path) -> None:
    studio.fake.behavior.refuse = (400, {"message": "the clip is damaged after frame 3", "code": "upload_refused"})
    studio.open()
    studio.page.locator("#file").set_input_files(clip)
    studio.page.get_by_role("button", name="Continue").click()
    studio.warns("The clip is damaged after frame 3.")
    assert studio.page.locator("#source").is_visible()


PASTE = """([bytes, name, text]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  if (text) carried.setData("text/plain", text);
  const event = new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true });
  document.getElementById("prompt").dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_pasted_image_is_continued(studio: Studio) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "olive").save(out, "PNG")
    studio.open()
    assert not studio.page.evaluate(PASTE, [list(out.getvalue()), "image.png", "a table cell"])  # text stays text
    assert not studio.page.locator("#source").is_visible()
    assert studio.page.evaluate(PASTE, [list(out.getvalue()), "image.png", ""])
    studio.page.locator("#source").get_by_text("pasted image").wait_for()
    studio.page.get_by_role("button", name="Continue").click()
    studio.plays()
    assert studio.fake.uploads == [("image", out.getvalue())]
