"""A corrupted history."""

import torch

from prior.objective import BatchDraws, corrupt


def test_a_wrong_token_is_one_of_its_group_and_clip() -> None:
    generator, (clips, frames, sizes) = torch.Generator().manual_seed(0), (2, 3, (4, 16))
    tokens = sum(sizes)
    group_N = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    frame_T, clip_B = torch.arange(frames), torch.arange(clips)
    place = (clip_B[:, None, None], frame_T[None, :, None], group_N[None, None])
    codes_BTNK = torch.stack([each.expand(clips, frames, tokens) for each in place], -1)
    shape = (clips, frames, tokens)
    draws = BatchDraws(torch.rand(clips, frames), *(torch.rand(shape, generator=generator) for _ in range(3)))
    wrong = corrupt(codes_BTNK, torch.tensor([0.0, 1.0]), draws, sizes)
    assert torch.equal(wrong[0], codes_BTNK[0])
    assert torch.equal(wrong[1][..., [0, 2]], codes_BTNK[1][..., [0, 2]])
    assert not torch.equal(wrong[1], codes_BTNK[1])
