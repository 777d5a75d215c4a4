import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import moving_squares, small_config
from tokenizer.networks.cnn import CNNTokenizer


def psnr(clip, other):
    return -10 * ((clip.clamp(-1, 1) - other) / 2).square().mean().log10().item()


def test_a_tokenizer_learns_moving_squares():
    torch.manual_seed(0)
    model, clips = CNNTokenizer(small_config(f_t=4, f_s=8, front_s=4)), moving_squares(4, 9, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    plain = psnr(clips.mean((2, 3, 4), keepdim=True), clips)
    for _ in range(150):
        out = model(clips)
        loss = (out.clip - clips).abs().mean() + torch.stack(list(out.losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        seen = psnr(model.decode(encode_clip(model, clips), model.spec(32, 32))[0], clips)
    assert seen > plain + 4, (seen, plain)
