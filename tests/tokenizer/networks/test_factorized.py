"""The factorized tokenizer and the image tokenizer inside it."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip, small_factorized
from tokenizer.laws import check, influence
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.factorized import FactorizedTokenizer
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.quantize import QuantizerConfig, ResidualConfig, VQConfig

VQ = VQConfig(size=64, dim=6)


def model_of(config: FactorizedTokenizerConfig) -> FactorizedTokenizer:
    torch.manual_seed(0)
    return FactorizedTokenizer(config).eval()


@pytest.mark.parametrize("image_quantizer", [FSQ_1000, VQ, ResidualConfig(VQ, depth=2)])
def test_the_image_tokenizer_inside_keeps_the_laws(image_quantizer: QuantizerConfig) -> None:
    image = model_of(small_factorized(image_quantizer=image_quantizer)).image
    assert image is not None
    verdicts = list(check(image, noise_clip(2, 5, 16, 32), [[1, 2], [2, 0, 3]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


def test_the_image_tokenizer_has_no_memory() -> None:
    image, clip = model_of(small_factorized()).image, noise_clip(1, 4, 16, 16)
    assert image is not None
    codes = torch.cat([encode_clip(image, clip[:, :, t : t + 1]) for t in range(4)], dim=1)
    assert torch.equal(encode_clip(image, clip), codes)


def test_its_weights_are_those_of_an_ordinary_image_tokenizer() -> None:
    inside = model_of(small_factorized(image_quantizer=VQ)).image
    assert inside is not None
    alone = CNNTokenizer(inside.config).eval()
    alone.load_state_dict(inside.state_dict())
    clip = noise_clip(2, 3, 16, 32)
    codes, spec = encode_clip(inside, clip), inside.spec(16, 32)
    assert torch.equal(encode_clip(alone, clip), codes)
    assert torch.equal(alone.decode(codes, spec)[0], inside.decode(codes, spec)[0])


def test_without_an_image_quantizer_there_is_none() -> None:
    model = model_of(small_factorized(image_quantizer=None)).train()
    assert model.image is None
    out = model(noise_clip(1, 5, 16, 16))
    assert set(out.losses) == {"spread"}
    (out.clip.square().mean() + out.losses["spread"]).backward()
    assert [name for name, weights in model.named_parameters() if weights.grad is None] == []


def test_images_are_trained_along_with_their_weight() -> None:
    clip, losses = noise_clip(2, 9, 16, 16), []
    for weight in (1.0, 3.0):
        model = model_of(replace(small_factorized(image_quantizer=VQ), image_weight=weight)).train()
        out = model(clip)
        losses.append({name: loss.item() for name, loss in out.losses.items() if name.startswith("image_")})
    assert set(losses[0]) == {"image_l2", "image_spread", "image_commitment"}
    for name, loss in losses[0].items():
        assert losses[1][name] == pytest.approx(3 * loss)
    frames = clip[:, :, ::4].permute(0, 2, 1, 3, 4).flatten(0, 1).unsqueeze(2)
    assert model.image is not None
    assert losses[0]["image_l2"] == pytest.approx((model.image(frames).clip - frames).square().mean().item(), rel=1e-5)
    assert set(model.eval()(clip).losses) == {"spread"}


def test_both_quantizers_learn_from_statistics() -> None:
    model = model_of(small_factorized(quantizer=VQConfig(32, 4, first="kmeans"), image_quantizer=VQ)).train()
    model.quantizer.begin_training()
    model.quantizer.set_step(0)
    assert model.quantizer.looks_for_codes
    before = {name: tensor.clone() for name, tensor in model.quantizer.state_dict().items() if "codebook" in name}
    out = model(noise_clip(2, 9, 16, 16)).quantized
    assert {name.split(".")[0] for name in {**out.statistics, **out.samples}} == {"tokens", "other"}
    model.quantizer.update({**out.statistics, **out.samples})
    after = model.quantizer.state_dict()
    assert set(before) == {"tokens.codebook", "other.codebook"}
    assert not torch.equal(after["other.codebook"], before["other.codebook"])


def test_features_of_a_frame_depend_on_it_alone() -> None:
    model, clip = model_of(small_factorized()), noise_clip(1, 6, 16, 16).requires_grad_()
    features, _ = model.encoder.frames(model.patchify(clip), None)  # type: ignore[operator, union-attr]
    for t in range(6):
        assert influence(features[:, t], clip, keep=2).nonzero().flatten().tolist() == [t]


def test_a_copy_has_an_image_tokenizer_of_its_own() -> None:
    model = model_of(small_factorized(image_quantizer=VQ))
    copy = deepcopy(model)
    assert copy.image is not None
    for name, weights in copy.image.state_dict().items():
        weights.add_(1)
        assert model.image is not None
        assert not torch.equal(model.image.state_dict()[name], weights)
    assert model.double().image.encode(noise_clip(1, 1, 16, 16).double())[0].shape == (1, 1, 4, 1)  # type: ignore[union-attr]
    assert not torch.equal(model.state_dict()["encoder.head.conv.bias"], copy.state_dict()["encoder.head.conv.bias"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"f_t": 3}, "f_t = 3"),
        ({"f_s": 12}, "f_s = 12"),
        ({"encoder_widths": (8,)}, "encoder_widths"),
        ({"encoder_time_blocks": 0}, "encoder_time_blocks = 0"),
        ({"decoder_time_blocks": 0}, "decoder_time_blocks = 0"),
        ({"kernel_t": 1}, "kernel_t = 1"),
        ({"kernel_t": 2, "causal": False}, "kernel_t = 2"),
        ({"image_weight": 0.0}, "image_weight = 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(small_factorized(), **changes)
