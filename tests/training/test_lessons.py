"""What a prior is taught: which frames are hidden, what is spoilt and withheld, and that a seed tells all of it."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.training.tiny_prior import Set, tiny_config
from videogen.tokens import TokenSet
from videogen.tokens.windows import TokenWindows
from videogen.training.prior.batches import LessonBatch, Lessons
from videogen.training.prior.config import PriorPhaseConfig


def lessons(tokens: Path, **changes: object) -> Lessons:
    return Lessons(replace(tiny_config(tokens), **changes), TokenSet.open(tokens), None)  # type: ignore[arg-type]


def test_what_is_asked_for_is_a_function_of_seed_and_place_alone(made: Set) -> None:
    both = lessons(made[1])
    whole = both.batches({}, 0, 2, 0, 1)
    seen = [next(whole) for _ in range(16)]
    again = both.batches(seen[5].next, 3, 2, 0, 1)
    for expected in seen[6:]:
        assert same(expected, next(again))
    halves = [both.batches({}, 0, 2, rank, 2) for rank in range(2)]
    for expected in seen:
        parts = [next(half) for half in halves]
        assert torch.equal(torch.cat([part.ids for part in parts]), expected.ids)
        assert torch.equal(torch.cat([part.hidden for part in parts]), expected.hidden)
        assert torch.equal(torch.cat([part.clean for part in parts]), expected.clean)


def test_the_loss_of_a_step_counts_every_token_once(made: Set) -> None:
    micro = lessons(made[1]).batches({}, 0, 2, 0, 1)
    for _ in range(6):
        parts = [next(micro) for _ in range(2)]
        assert sum(int(part.counted.sum()) * part.share for part in parts) == pytest.approx(2)  # a mean over two


def test_lessons_hide_spoil_and_withhold_as_they_are_told(made: Set) -> None:
    micro = lessons(made[1]).batches({}, 0, 1, 0, 1)
    batches = [next(micro) for _ in range(60)]
    assert {batch.ids.shape[1] for batch in batches[:4]} == {2}
    assert {batch.ids.shape[1] for batch in batches[4:]} == {3}
    hidden = torch.cat([batch.hidden.flatten(2).float().mean(-1).flatten() for batch in batches])
    assert hidden.min() > 0
    assert abs(hidden.mean() - 2 / np.pi) < 0.05  # the mean of a cosine
    late = [(batch, row) for batch in batches for row in range(4) if not batch.counted[row, 0].any()]
    assert late, "windows from the middle of a clip are not asked about their first frame"
    spoilt = torch.cat([(batch.ids != batch.clean).flatten(1).float().mean(1) for batch in batches])
    rates = torch.cat([batch.rate for batch in batches])
    assert (spoilt[rates == 0] == 0).all()
    assert 0.2 < (rates == 0).float().mean() < 0.4
    assert rates.max() <= 0.3
    assert torch.corrcoef(torch.stack([spoilt, rates]))[0, 1] > 0.8
    withheld = torch.cat([batch.withheld.float() for batch in batches])
    assert 0.1 < withheld.mean() < 0.3


def test_a_clip_that_turns_into_another_is_told_the_others_caption(made: Set) -> None:
    both, tokens = lessons(made[1]), TokenSet.open(made[1])
    clips = {clip.key: clip for clip in map(tokens.clip, range(len(tokens)))}
    seen, turned = 0, {1: 0, 2: 0}
    micro = both.batches({}, 4, 1, 0, 1)
    for step in range(4, 64):
        batch = next(micro)
        for row, key in enumerate(batch.keys):
            seen += 1
            first, _, second = key.partition(" cut to ")
            if not second:
                assert batch.captions[row] == clips[key].caption
                continue
            assert not both.is_rollout(step)
            at = int(batch.counted[row].flatten(1).any(1).int().argmax())
            turned[at] += 1
            assert batch.captions[row] == clips[second].caption
            assert torch.equal(batch.ids[row, at:], clips[second].ids[at:3])
            assert batch.ids[row, :at].tolist() in [
                clips[first].ids[s : s + at].tolist() for s in range(len(clips[first].ids))
            ]
    assert 0.05 < sum(turned.values()) / seen < 0.3  # 30 % of the samples of steps that are no rollouts
    assert all(turned.values())


def test_chance_is_drawn_once_a_sample_and_from_nowhere_else(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"start": 0, "chance": 0}
    for name in drawn:
        kept = getattr(TokenWindows, name)

        def counted(*given: Any, name: str = name, kept: Callable[..., Any] = kept) -> Any:
            drawn[name] += 1
            return kept(*given)

        monkeypatch.setattr(TokenWindows, name, counted)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    micro = lessons(made[1]).batches({}, 0, 1, 1, 2)
    for _ in range(6):
        next(micro)
    assert drawn == {"start": 6 * 4, "chance": 6 * (4 + 2)}, "of a global batch of 4, this process has 2"
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_of_a_clip_only_the_window_is_read(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, read_frames, ids = lessons(made[1]).windows[1], [], TokenSet.ids
    rows = {windows.tokens.label(row)[0]: ids(windows.tokens, row) for row in range(len(windows.tokens))}

    def counting(*given: Any) -> torch.Tensor:
        read_frames.append(len(found := ids(*given)))
        return found

    monkeypatch.setattr(TokenSet, "ids", counting)
    for index in range(len(windows)):
        start = windows.start(0, index)
        window = windows.sample(0, index, start)
        assert torch.equal(torch.from_numpy(window.ids), rows[window.key][start : start + 3])
        turned = windows.cut(window, number=0, at=2)
        assert torch.equal(torch.from_numpy(turned.ids[2:]), rows[turned.key.partition(" cut to ")[2]][2:3])
    assert read_frames == [3, 1] * len(windows)


@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_phase_of_single_frames_asks_every_sample(made: Set, objective: Literal["masked", "next"]) -> None:
    """A window from the middle of a clip asks nothing of its first frame, which would be all that it has."""
    config = replace(tiny_config(made[1], objective), phases=(PriorPhaseConfig(0, 1),))
    config = replace(config, data=replace(config.data, opening_share=0.0))
    micro = Lessons(config, TokenSet.open(made[1]), None).batches({}, 0, 1, 0, 1)
    for _ in range(6):
        batch = next(micro)
        assert batch.counted.flatten(1).any(1).all()


def test_filling_at_a_clips_end_is_never_taught(made: Set) -> None:
    tokens = TokenSet.open(made[1])
    windows = lessons(made[1]).windows[0]
    own = 1 + (np.array([tokens.clip(row).pictures for row in range(len(tokens))]) - 1) // 4
    assert (windows.starts == own[windows.rows] - 2 + 1).all()


def same(a: LessonBatch, b: LessonBatch) -> bool:
    tensors = all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("ids", "clean", "hidden", "counted", "rate")
    )
    return tensors and (a.keys, a.captions, a.share, a.next) == (b.keys, b.captions, b.share, b.next)
