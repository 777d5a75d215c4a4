"""What is kept of drawings: all of it by a perfect tokenizer, less by one that blurs, the less the more it blurs."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from videogen.clip_spec import ClipSpec
from videogen.lab import ocr
from videogen.lab.drawings.exam import SHOWN_DETAILS, Question, questions
from videogen.lab.measures.kept import around, contrast_kept, figures_of, save_details
from videogen.lab.sheets import DETAILS, load_strip, original_of, picture_of

KINDS = ("shapes", "lines", "motion")


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return list(questions(ClipSpec(64, 64, 8.0, 3)))


def frames_of(asked: list[Question]) -> list[NDArray[np.uint8]]:
    return [each.drawing.frames for each in asked]


def blurred(frames: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Means over squares of pixels."""
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    means = torch.nn.functional.avg_pool2d(x, width, 1, width // 2, count_include_pad=False)
    return means.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def test_a_perfect_reconstruction_keeps_everything(asked: list[Question]) -> None:
    figures = figures_of(asked, frames_of(asked), reader=None)
    assert {name for name in figures if "_" not in name} == set(KINDS)
    assert set(figures) >= {"shapes_2", "shapes_8", "lines_1", "lines_3", "motion_1", "motion_16"}
    assert figures == pytest.approx(dict.fromkeys(figures, 1.0))


def test_the_more_it_blurs_the_less_is_kept(asked: list[Question]) -> None:
    kept = [figures_of(asked, [blurred(each, width) for each in frames_of(asked)], None) for width in (1, 3, 5, 9)]
    for kind in KINDS:
        assert all(less[kind] < more[kind] - 0.03 for more, less in pairwise(kept)), [each[kind] for each in kept]
    assert kept[2]["shapes_2"] < kept[2]["shapes_8"]
    assert kept[2]["lines_1"] < kept[2]["lines_3"]


def test_nothing_is_kept_by_a_plain_picture_of_any_brightness(asked: list[Question]) -> None:
    for level in (0, 255):
        plain = [np.full_like(each, level) for each in frames_of(asked)]
        figures = figures_of(asked, plain, None)
        assert figures == pytest.approx(dict.fromkeys(figures, 0.0))


def test_a_dot_that_comes_late_is_not_kept(asked: list[Question]) -> None:
    fast = next(each.drawing for each in asked if (each.kind, each.number) == ("motion", 16))
    late = np.concatenate([fast.frames[:1], fast.frames[:-1]])
    assert contrast_kept(fast, late) == pytest.approx(1 / 3, abs=0.05)


def test_words_are_graded_by_their_characters(asked: list[Question]) -> None:
    """The reader knows the drawings themselves, and makes one mistake in everything else."""
    known = {around(each.drawing.things[0], each.drawing.frames).tobytes(): each.word for each in asked if each.word}
    darker = [frames // 2 for frames in frames_of(asked)]
    mistaken = {
        around(each.drawing.things[0], frames).tobytes(): each.word[:-1] + "1"
        for each, frames in zip(asked, darker, strict=True) if each.word
    }  # fmt: skip
    reader = lambda picture: (known | mistaken)[np.ascontiguousarray(picture).tobytes()]  # noqa: E731
    figures = figures_of(asked, darker, reader)
    assert figures["ceiling_words"] == 1
    assert figures["words"] == figures["words_10"] == figures["words_16"] == 0.75


def test_edits_are_counted() -> None:
    assert [ocr.edit_distance(read, "WORD") for read in ("WORD", "WRD", "WOORD", "W0RD", "")] == [0, 1, 1, 1, 4]
    assert ocr.character_accuracy("w o\nrd", "WORD") == 1
    assert ocr.character_accuracy("something long", "WORD") == 0


def test_the_strips_show_one_drawing_of_each_kind_and_its_reconstruction(asked: list[Question], tmp_path: Path) -> None:
    save_details(asked, [frames // 2 for frames in frames_of(asked)], tmp_path / "pictures")
    drawn, seen = (load_strip(place_of(tmp_path / "pictures", DETAILS)) for place_of in (original_of, picture_of))
    assert len(drawn) == SHOWN_DETAILS == len({(each.kind, each.number) for each in asked})
    assert np.array_equal(seen, drawn // 2)
    assert np.array_equal(drawn[0], asked[0].drawing.frames[-1])


def test_the_lab_runs_without_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda name: None if name == "rapidocr" else object())
    assert not ocr.is_installed()
    assert "rapidocr" not in sys.modules


@pytest.mark.skipif(not ocr.is_installed(), reason="RapidOCR is not installed (the extra `ocr`)")
def test_the_reader_reads_the_drawings_and_not_what_is_left_of_them(asked: list[Question]) -> None:
    words = [each for each in asked if each.kind == "words"][::3]
    reader = ocr.open_reader()
    figures = figures_of(words, frames_of(words), reader)
    assert figures["ceiling_words"] == figures["words"] >= 0.9
    gone = figures_of(words, [blurred(each, 13) for each in frames_of(words)], reader)
    assert gone["ceiling_words"] == figures["words"]
    assert gone["words"] < 0.5
