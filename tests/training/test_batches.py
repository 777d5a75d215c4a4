"""What a prior trains on: what is masked, corrupted and dropped, all from the seed."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.training.tiny_prior import Set, tiny_config
from videogen.data import Position
from videogen.errors import UsageError
from videogen.tokens import TokenSet
from videogen.tokens.windows import TokenWindows
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import PriorPhaseConfig, TeachingConfig
from videogen.training.prior.run import run_prior


def token_batches(tokens: Path, **changes: object) -> TokenBatches:
    return TokenBatches(replace(tiny_config(tokens), **changes), TokenSet.open(tokens), None)  # type: ignore[arg-type]


def test_batches_depend_on_seed_and_position_alone(made: Set) -> None:
    source = token_batches(made[1])
    whole = source.batches({}, 0, 2, 0, 1)
    seen = [next(whole) for _ in range(16)]
    again = source.batches(seen[5].next_position, 3, 2, 0, 1)
    for expected in seen[6:]:
        assert same(expected, next(again))
    halves = [source.batches({}, 0, 2, rank, 2) for rank in range(2)]
    for expected in seen:
        parts = [next(half) for half in halves]
        for name in ("codes", "known", "clean"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(expected, name))


def test_the_loss_of_a_step_counts_every_token_once(made: Set) -> None:
    micro = token_batches(made[1]).batches({}, 0, 2, 0, 1)
    for _ in range(6):
        parts = [next(micro) for _ in range(2)]
        assert sum(int(part.predicted.sum()) * part.loss_scale for part in parts) == pytest.approx(2)  # a mean over two


def test_shares_of_masked_corrupted_and_dropped(made: Set) -> None:
    micro = token_batches(made[1]).batches({}, 0, 1, 0, 1)
    batches = [next(micro) for _ in range(60)]
    assert {batch.codes.shape[1] for batch in batches[:4]} == {2}
    assert {batch.codes.shape[1] for batch in batches[4:]} == {3}
    hidden = torch.cat([(~known_of(batch)).float().mean(-1).flatten() for batch in batches])
    assert hidden.min() > 0
    assert abs(hidden.mean() - 2 / np.pi) < 0.05  # the mean of a cosine
    late = [(batch, row) for batch in batches for row in range(4) if not batch.predicted[row, 0].any()]
    assert late, "windows from the middle of a clip do not predict their first frame"
    corrupted = torch.cat([(batch.codes != batch.clean).any(-1).flatten(1).float().mean(1) for batch in batches])
    rates = torch.cat([batch.noise for batch in batches])
    assert (corrupted[rates == 0] == 0).all()
    assert 0.2 < (rates == 0).float().mean() < 0.4
    assert rates.max() <= 0.3
    assert torch.corrcoef(torch.stack([corrupted, rates]))[0, 1] > 0.8
    dropped = torch.cat([batch.drop_text.float() for batch in batches])
    assert 0.1 < dropped.mean() < 0.3


def test_a_scene_cut_has_the_caption_of_the_second_clip(made: Set) -> None:
    source, tokens = token_batches(made[1]), TokenSet.open(made[1])
    clips = {clip.key: clip for clip in map(tokens.clip, range(len(tokens)))}
    seen, turned = 0, {1: 0, 2: 0}
    micro = source.batches({}, 4, 1, 0, 1)
    for step in range(4, 64):
        batch = next(micro)
        for row, key in enumerate(batch.keys):
            seen += 1
            first, _, second = key.partition(" cut to ")
            if not second:
                assert batch.captions[row] == clips[key].caption
                continue
            assert not source.is_rollout(step)
            at = int(batch.predicted[row].flatten(1).any(1).int().argmax())
            turned[at] += 1
            assert batch.captions[row] == clips[second].caption
            assert torch.equal(batch.codes[row, at:], clips[second].codes[at:3])
            earlier = clips[first].codes
            assert batch.codes[row, :at].tolist() in [earlier[s : s + at].tolist() for s in range(len(earlier))]
    assert 0.05 < sum(turned.values()) / seen < 0.3  # 30 % of the samples of steps that are no rollouts
    assert all(turned.values())


def test_random_numbers_are_drawn_once_a_sample(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"start": 0, "uniform": 0}
    for name in drawn:
        kept = getattr(TokenWindows, name)

        def counted(*given: Any, name: str = name, kept: Callable[..., Any] = kept) -> Any:
            drawn[name] += 1
            return kept(*given)

        monkeypatch.setattr(TokenWindows, name, counted)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    micro = token_batches(made[1]).batches({}, 0, 1, 1, 2)
    for _ in range(6):
        next(micro)
    assert drawn == {"start": 6 * 4, "uniform": 6 * (4 + 2)}, "of a global batch of 4, this process has 2"
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_only_the_window_of_a_clip_is_read(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, read_frames, codes = token_batches(made[1]).windows[1], [], TokenSet.codes
    rows = {windows.tokens.label(row)[0]: codes(windows.tokens, row) for row in range(len(windows.tokens))}

    def counting(*given: Any) -> torch.Tensor:
        read_frames.append(len(found := codes(*given)))
        return found

    monkeypatch.setattr(TokenSet, "codes", counting)
    for index in range(len(windows)):
        start = windows.start(0, index)
        window = windows.sample(0, index, start)
        assert torch.equal(torch.from_numpy(window.codes), rows[window.key][start : start + 3])
        turned = windows.cut(window, number=0, at=2)
        assert torch.equal(torch.from_numpy(turned.codes[2:]), rows[turned.key.partition(" cut to ")[2]][2:3])
    assert read_frames == [3, 1] * len(windows)


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_a_phase_of_single_frames_predicts_every_sample(
    made: Set, objective: Literal["masked", "autoregressive"]
) -> None:
    """A window from the middle of a clip does not predict its first frame, which is all that it has here."""
    config = replace(tiny_config(made[1], objective), phases=(PriorPhaseConfig(0, 1),))
    config = replace(config, data=replace(config.data, clip_start_share=0.0))
    micro = TokenBatches(config, TokenSet.open(made[1]), None).batches({}, 0, 1, 0, 1)
    for _ in range(6):
        batch = next(micro)
        assert batch.predicted.flatten(1).any(1).all()


def test_padding_at_the_end_of_a_clip_is_never_trained_on(made: Set) -> None:
    tokens = TokenSet.open(made[1])
    windows = token_batches(made[1]).windows[0]
    own = 1 + (np.array([tokens.clip(row).frames for row in range(len(tokens))]) - 1) // 4
    assert (windows.starts == own[windows.rows] - 2 + 1).all()


CONTROLS: dict[str, Callable[[int, int], torch.Tensor]] = {  # of a clip with this number, from a latent frame on
    "actions": lambda row, first: (torch.arange(first, first + 9) + row) % 5,
    "numbers": lambda row, first: torch.arange(2.0 * first, 2.0 * first + 18).view(9, 2) + row,
}


@pytest.fixture(params=list(CONTROLS))
def controlled(request: pytest.FixtureRequest, made: Set, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The first batches with a dropout of the control, of clips that have one."""
    control = CONTROLS[request.param]
    monkeypatch.setattr(TokenSet, "control", lambda self, row, first, last: control(row, first)[: last - first])

    def batches(dropout: float) -> list[TokenBatch]:
        teaching = replace(tiny_config(made[1]).teaching, control_dropout=dropout)
        micro = token_batches(made[1], teaching=teaching).batches({}, 0, 1, 0, 1)
        return [next(micro) for _ in range(80)]

    return batches


def absent_rows(batch: TokenBatch) -> torch.Tensor:
    """bool [B, T]"""
    assert batch.control is not None
    return batch.control.isnan().all(-1) if batch.control.is_floating_point() else batch.control == -1


def test_whole_controls_are_dropped_at_a_rate_and_nothing_else_changes(controlled: Callable[..., Any]) -> None:
    whole, some, more = (controlled(rate) for rate in (0.0, 0.25, 0.5))
    assert not any(absent_rows(batch).any() for batch in whole)
    dropped = []
    for batches in (some, more):
        for batch, full in zip(batches, whole, strict=True):
            assert same(batch, full)
            assert torch.equal(batch.drop_text, full.drop_text)
            absent_BT = absent_rows(batch)
            assert torch.equal(absent_BT.all(1), absent_BT.any(1)), "of a clip, all latent frames or none"
            kept_B = ~absent_BT[:, 0]
            assert torch.equal(batch.control[kept_B], full.control[kept_B])
        dropped.append(torch.cat([absent_rows(batch)[:, 0] for batch in batches]))
    assert (dropped[0] <= dropped[1]).all(), "a clip that a low rate drops, a higher one drops too"
    assert abs(dropped[0].float().mean() - 0.25) < 0.08
    assert abs(dropped[1].float().mean() - 0.5) < 0.08
    no_text = torch.cat([batch.drop_text for batch in whole])
    for text, control in ((True, True), (True, False), (False, True), (False, False)):
        assert ((no_text == text) & (dropped[1] == control)).any(), "text and control are dropped independently"


def test_a_control_is_dropped_by_the_last_number_of_its_sample(controlled: Callable[..., Any], made: Set) -> None:
    """So the numbers before it are those of a version without it."""
    batches, source, number = controlled(0.4), token_batches(made[1]), 0
    for batch in batches[:30]:
        windows = source.windows[batch.codes.shape[1] - 2]
        for absent in absent_rows(batch)[:, 0].tolist():
            count = 6 + windows.frames * (1 + 3 * windows.spec.tokens)
            at = Position(0, 0).after(number, len(windows))
            numbers = windows.uniform(at.epoch, at.sample, count + 1)
            assert np.array_equal(numbers[:-1], windows.uniform(at.epoch, at.sample, count))
            assert absent == (numbers[-1] < 0.4)
            number += 1
        number = 0 if batch is batches[3] else number  # the second phase begins its own order


def test_a_dropout_without_controls_is_refused_before_training(made: Set, tmp_path: Path) -> None:
    config = replace(tiny_config(made[1]), teaching=TeachingConfig(control_dropout=0.2))
    with pytest.raises(UsageError, match=r"teaching\.control_dropout is 0\.2, and no clip has a control"):
        run_prior(config, made[0], tmp_path / "run", resume=False)
    with pytest.raises(ValueError, match=r"^control_dropout is 1"):
        TeachingConfig(control_dropout=1.0)


def known_of(batch: TokenBatch) -> torch.Tensor:
    assert batch.known is not None
    return batch.known


def same(a: TokenBatch, b: TokenBatch) -> bool:
    tensors = "codes", "clean", "known", "predicted", "noise"
    others = "keys", "captions", "loss_scale", "next_position"
    equal = all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)
    return equal and all(getattr(a, name) == getattr(b, name) for name in others)
