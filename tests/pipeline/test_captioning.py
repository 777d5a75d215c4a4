"""Captions of clips and rankings of captions: the search finds what brute force finds, at any length of clip."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from interfaces.prior import Text
from interfaces.tokenizer import encode_clip
from prior import laws
from prior.captioning import begin_caption, caption_nats
from prior.captions import END
from prior.config import ContextConfig, Objective
from prior.memory import Past
from prior.model import PriorBatch
from sampling.rollout import commit_codes
from tests.pipeline.tiny import RING, SIZE, STAR
from tests.prior.models import tiny_config, tiny_model
from videogen.cli import main
from videogen.errors import DataError, UsageError
from videogen.generation import captioning
from videogen.generation.caption_ranking import nats_of_captions, nats_of_clip
from videogen.generation.captioning import (
    CaptionSettings,
    best_continuations,
    draw_captions,
    past_of_clip,
    search_captions,
    write_captions,
)
from videogen.io import write_video
from videogen.io.pixels import to_clip
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline

Captured = pytest.CaptureFixture[str]
Caption = tuple[int, ...]
OBJECTIVES: tuple[Objective, ...] = ("masked", "autoregressive")


@pytest.fixture(scope="module")
def captioning_pipe(folders: dict[str, Path]) -> VideoPipeline:
    return VideoPipeline.from_pretrained(folders["captions"])


def clip_of(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8)


def small_world(model: PriorModel, objective: Objective, length: int = 3, seed: int = 3) -> tuple[PriorModel, Past]:
    """A model whose captions have at most `length` of three words, and the past of a clip."""
    context = ContextConfig(length=length, vocabulary=4)
    config = replace(tiny_config(objective, spec=model.spec, context=context), captions=True)
    small = replace(model, network=tiny_model(config, seed=seed))
    codes = laws.random_codes(config.spec, (1, 4, config.spec.tokens), torch.Generator().manual_seed(0))
    return small, commit_codes(small.network, small.network.begin(None, 1), codes)


def every_caption(model: PriorModel, past: Past, length: int = 3) -> dict[Caption, float]:
    """The nats of each caption, by brute force."""
    captions = [ids for count in range(length + 1) for ids in itertools.product((1, 2, 3), repeat=count)]
    content = torch.zeros(len(captions), length, dtype=torch.int64)
    mask = torch.zeros(len(captions), length, dtype=torch.bool)
    for row, ids in enumerate(captions):
        content[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64), True
    nats = dict(zip(captions, caption_nats(model.network, past, Text(content, mask)).tolist(), strict=True))
    nats[()] = -begin_caption(model.network, past)[1][0, END].item()
    return nats


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_wide_search_orders_all_captions_as_brute_force_does(pipe: VideoPipeline, objective: Objective) -> None:
    model, past = small_world(pipe.model, objective)
    expected = every_caption(model, past)
    found = search_captions(model, past, len(expected))
    assert len(found) == len(expected) == 40
    assert {ids for _, ids in found} == set(expected)
    for nats, ids in found:
        assert nats == pytest.approx(expected[ids], abs=1e-5)
    assert [nats for nats, _ in found] == sorted(nats for nats, _ in found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_beam_takes_the_likeliest_token_each_time(pipe: VideoPipeline, objective: Objective, seed: int) -> None:
    model, past = small_world(pipe.model, objective, seed=seed)
    ((nats, ids),) = search_captions(model, past, 1)
    assert draw_captions(model, past, [0], 0.0) == [(pytest.approx(nats), ids)]
    expected = every_caption(model, past)
    prefix: Caption = ()
    while len(prefix) < 3:
        with_prefix = {  # log p of each next token, from the captions that begin so
            token: sum(np.exp(-cost) for ids, cost in expected.items() if ids[: len(prefix) + 1] == (*prefix, token))
            for token in (1, 2, 3)
        }
        best = max(with_prefix, key=lambda token: with_prefix[token])
        if np.exp(-expected[prefix]) > with_prefix[best]:
            break
        prefix = (*prefix, best)
    assert ids == prefix


def test_a_caption_ends_only_where_the_end_is_among_the_best() -> None:
    """Else one beam would end at once where the first tokens of long captions are less likely than a short one."""
    costs = torch.tensor([[1.2, 0.9, 1.5]])  # of END and of two tokens
    assert best_continuations(costs, 1) == ([], [0], [1])
    assert best_continuations(costs, 2) == ([0], [0, 0], [1, 2])
    both = torch.tensor([[1.2, 0.9, 1.5], [0.8, 2.0, 2.1]])
    assert best_continuations(both, 1) == ([1], [0], [1])
    assert best_continuations(both, 3) == ([1, 0], [0, 0, 1], [1, 2, 1])


def test_random_captions_have_their_probabilities(pipe: VideoPipeline) -> None:
    model, past = small_world(pipe.model, "masked", length=2)
    expected = every_caption(model, past, length=2)
    drawn = draw_captions(model, past, range(4000), 1.0)
    for ids, nats in expected.items():
        share = sum(each.ids == ids for each in drawn) / len(drawn)
        probability = float(np.exp(-nats))
        assert abs(share - probability) < 5 * (probability * (1 - probability) / len(drawn)) ** 0.5 + 1e-3
    assert all(nats == pytest.approx(expected[ids], abs=1e-5) for nats, ids in drawn[:20])
    some = draw_captions(model, past, [7, 8], 1.0)
    assert [each.ids for each in some] == [each.ids for each in drawn[7:9]]


def test_the_past_of_a_clip_is_that_of_all_its_codes(captioning_pipe: VideoPipeline) -> None:
    """In pieces and without the frames at the end that fill no latent frame; a short clip is padded."""
    model = captioning_pipe.model
    for count, whole in ((1, 1), (3, 1), (5, 2), (39, 10)):
        frames = clip_of(count)
        streamed = past_of_clip(model, iter(frames), SIZE)
        codes = encode_clip(model.tokenizer.network, to_clip(frames[None]))[:, :whole]
        expected = commit_codes(model.network, model.network.begin(None, 1), codes)
        assert int(streamed.frames) == whole
        assert all(torch.equal(*pair) for pair in zip(streamed.keys, expected.keys, strict=True))


def test_a_long_clip_takes_the_memory_of_a_short_one(captioning_pipe: VideoPipeline) -> None:
    model, read, most = captioning_pipe.model, 0, 0
    encode = model.tokenizer.network.encode

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in clip_of(160):
            read += 1
            yield frame

    class WatchedEncoder:
        device = model.tokenizer.network.device

        def encode(self, clip: torch.Tensor, state: object) -> object:
            nonlocal most
            most = max(most, clip.shape[2])
            return encode(clip, state)

    pieces = captioning.codes_of_clip(replace(model, tokenizer=WatchedTokenizer(WatchedEncoder())), frames())  # type: ignore[arg-type]
    for count, _ in enumerate(pieces, 1):
        assert read == count * captioning.FRAMES_AT_ONCE
    assert most == captioning.FRAMES_AT_ONCE


class WatchedTokenizer:
    def __init__(self, network: object):
        self.network = network

    def check_causal(self) -> None:
        pass


def test_a_pipeline_writes_captions(captioning_pipe: VideoPipeline) -> None:
    frames = clip_of(9)
    (best,) = captioning_pipe.caption(frames)
    assert captioning_pipe.caption(frames, beams=1) == [best]
    several = captioning_pipe.caption(frames, count=3)
    assert len(several) == 3
    drawn = captioning_pipe.caption(frames, count=2, temperature=1.0, generator=5)
    assert drawn == captioning_pipe.caption(frames, count=2, temperature=1.0, generator=[5, 6])
    assert drawn[1:] == captioning_pipe.caption(frames, temperature=1.0, generator=6)
    assert captioning_pipe.caption(image=frames[0]) == captioning_pipe.caption(frames[:1])
    past = past_of_clip(captioning_pipe.model, frames, SIZE)
    written = write_captions(captioning_pipe.model, past, CaptionSettings(count=3, beams=6), ())
    assert [each.nats for each in written] == sorted(each.nats for each in written)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "a video or of an image"),
        ({"video": clip_of(1), "count": 0}, "count is 0"),
        ({"video": clip_of(1), "count": 4, "beams": 2}, "beams is 2"),
        ({"video": clip_of(1), "beams": 2, "temperature": 1.0}, "give one"),
        ({"video": clip_of(1), "temperature": -1.0}, "temperature is -1"),
    ],
)
def test_wrong_arguments(captioning_pipe: VideoPipeline, arguments: dict, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        captioning_pipe.caption(**arguments)


def test_a_model_without_captions_says_which_has_them(pipe: VideoPipeline) -> None:
    for call in (lambda: pipe.caption(clip_of(5)), lambda: pipe.rank([RING], clip_of(5), by="caption")):
        with pytest.raises(UsageError, match="objective: unified does"):
            call()


def test_ranking_by_caption_is_its_likelihood(captioning_pipe: VideoPipeline) -> None:
    model, frames, captions = captioning_pipe.model, clip_of(13), [RING, STAR, "a", RING]
    assert model.conditioner is not None
    past = past_of_clip(model, frames, SIZE)
    nats = nats_of_captions(model, past, captions)
    for caption, cost in zip(captions, nats, strict=True):
        alone = caption_nats(model.network, past, model.conditioner([caption])).item()
        assert cost == pytest.approx(alone, rel=1e-5)
    ranked = captioning_pipe.rank(captions, frames)
    assert [each.nats for each in ranked] == pytest.approx(sorted(nats))
    assert {each.caption for each in ranked} == set(captions)


def test_ranking_by_video_is_exact_for_an_autoregressive_prior(autoregressive_pipe: VideoPipeline) -> None:
    """The same as the sum of the nats of all tokens in a stream with this caption."""
    model, frames = autoregressive_pipe.model, clip_of(9)
    assert model.conditioner is not None
    codes = encode_clip(model.tokenizer.network, to_clip(frames[None]))
    expected = []
    for caption in (RING, STAR):
        noise, text = torch.zeros(1), model.conditioner([caption])
        batch = PriorBatch(codes, codes, None, text, noise, model.spec)
        total = 0.0
        for t, proposal in enumerate(laws.proposals(model.network, batch)):
            total += model.network.head.losses(proposal.features, codes[:, t]).nats.sum().item()
        expected.append(total)
    assert nats_of_clip(model, codes, model.spec, [RING, STAR]) == pytest.approx(expected, rel=1e-5)
    ranked = autoregressive_pipe.rank([RING, STAR], frames)
    assert [each.nats for each in ranked] == pytest.approx(sorted(expected), rel=1e-5)


def test_ranking_by_video_draws_the_same_masks_for_each_caption(
    pipe: VideoPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = pipe.model, list[torch.Tensor]()
    forward = model.network.forward

    def spied(batch: PriorBatch) -> object:
        assert batch.known is not None
        seen.append(batch.known)
        return forward(batch)

    monkeypatch.setattr(model.network, "forward", spied)
    codes = encode_clip(model.tokenizer.network, to_clip(clip_of(9)[None]))
    once, again, other = nats_of_clip(model, codes, model.spec, [RING, RING, STAR])
    assert once == again != other
    assert all(torch.equal(each, seen[0]) for each in seen)
    assert len({tuple(row.flatten().tolist()) for row in seen[0]}) == len(seen[0]) == 8


def test_a_model_without_text_ranks_nothing(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="takes no captions"):
        VideoPipeline.from_pretrained(folders["textless"]).rank([RING], clip_of(1))


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIDEOGEN_MODEL", raising=False)
    for number in range(2):
        write_video(f"{number}.mp4", clip_of(9, number), 8.0)
    Image.fromarray(clip_of(1)[0]).save("image.png")
    Path("captions.txt").write_text(f"{STAR}\n\n  {RING}\n")
    return tmp_path


def output_of(capsys: Captured, *arguments: object, code: int = 0) -> str:
    assert main([*map(str, arguments), "--threads", "1"]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_the_command_writes_a_line_for_each_clip(
    clips: Path, folders: dict[str, Path], captioning_pipe: VideoPipeline, capsys: Captured
) -> None:
    arguments = ("caption", "0.mp4", "1.mp4", "image.png", "--model", folders["captions"])
    lines = output_of(capsys, *arguments).splitlines()
    expected = [captioning_pipe.caption(f"{number}.mp4")[0] for number in range(2)]
    assert lines == [*expected, captioning_pipe.caption(image="image.png")[0]]
    written = json.loads(output_of(capsys, *arguments, "--json"))["clips"]
    assert [each["clip"] for each in written] == ["0.mp4", "1.mp4", "image.png"]
    assert [each["captions"][0]["caption"] for each in written] == lines
    drawn = output_of(capsys, *arguments[:2], *arguments[4:], "--temperature", 1, "--count", 3, "--seed", 4)
    assert drawn.splitlines() == captioning_pipe.caption("0.mp4", count=3, temperature=1.0, generator=4)


def test_the_command_ranks_the_lines_of_a_file(
    clips: Path, folders: dict[str, Path], captioning_pipe: VideoPipeline, capsys: Captured
) -> None:
    for by in ("caption", "video"):
        ranked = captioning_pipe.rank([STAR, RING], "0.mp4", by=by)
        arguments = ("rank", "0.mp4", "captions.txt", "--model", folders["captions"], "--by", by)
        lines = output_of(capsys, *arguments).splitlines()
        assert lines == [f"{each.nats:10.2f}  {each.caption}" for each in ranked]
        found = json.loads(output_of(capsys, *arguments, "--json"))
        assert found == {"by": by, "captions": [each._asdict() for each in ranked]}


def test_mistakes_are_one_line(clips: Path, folders: dict[str, Path], capsys: Captured) -> None:
    Path("blank.txt").write_text("\n \n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    model = ("--model", folders["captions"])
    for arguments, code, message in (
        (("caption", "0.mp4", "--model", folders["masked"]), 2, "objective: unified does"),
        (("caption", "0.mp4", *model, "--beams", 1, "--count", 2), 2, "--beams is 1"),
        (("caption", "none.mp4", *model), 3, "none.mp4"),
        (("rank", "0.mp4", "blank.txt", *model), 2, "holds no captions"),
        (("rank", "0.mp4", "binary.txt", *model), 3, "not a text in UTF-8"),
        (("rank", "0.mp4", "captions.txt", "--model", folders["masked"], "--by", "caption"), 2, "unified does"),
    ):
        error = output_of(capsys, *arguments, code=code)
        assert message in error
        assert error.count("\n") == 1


def test_a_clip_needs_a_frame(captioning_pipe: VideoPipeline) -> None:
    with pytest.raises(DataError, match="without frames"):
        past_of_clip(captioning_pipe.model, iter(()), SIZE)
