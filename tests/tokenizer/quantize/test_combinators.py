"""What holds for every quantizer that is made of others."""

import json

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.tokenizer.models import noise_clip, small_config, small_model
from tests.tokenizer.quantize.combinations import (
    COMBINATIONS,
    EXACT_AS_A_WHOLE,
    STRAIGHT_THROUGH,
    is_learned_from_statistics,
)
from tests.tokenizer.quantize.families import all_tokens
from tokenizer import laws
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.quantize import Quantized, Quantizer, QuantizerConfig, make_quantizer
from videogen.config.serialization import from_json

LEARNED = [name for name, config in COMBINATIONS.items() if is_learned_from_statistics(config)]


@pytest.fixture(params=COMBINATIONS)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return made(request.param)


def made(name: str) -> Quantizer:
    torch.manual_seed(0)
    return make_quantizer(COMBINATIONS[name])


def trained(name: str) -> Quantizer:
    quantizer = made(name)
    quantizer.begin_training()
    return quantizer.train()


@pytest.mark.parametrize("training", [False, True])
def test_codes_are_those_of_the_stream_and_latents_those_of_the_codes(quantizer: Quantizer, training: bool) -> None:
    latents = torch.randn(2, 3, 4, 5, quantizer.dim)
    out = quantizer.train(training).quantize(latents)
    assert out.codes.shape == (2, 3, 4, 5, len(quantizer.codebooks))
    assert torch.equal(out.codes, quantizer.to_codes(quantizer.project(latents)))
    assert all(value.ndim == 0 for value in (*out.losses.values(), *out.metrics.values()))
    if not training:
        torch.testing.assert_close(out.latents, quantizer.to_latents(out.codes), atol=1e-5, rtol=0)


def test_a_latent_has_the_same_bits_alone_as_in_a_batch(quantizer: Quantizer) -> None:
    latents = torch.randn(150, quantizer.dim)
    codes = quantizer.to_codes(quantizer.project(latents))
    values = quantizer.to_latents(codes)
    for start, end in ((0, 1), (3, 40), (60, 150), (5, 5)):
        part = quantizer.to_codes(quantizer.project(latents[start:end]))
        assert torch.equal(part, codes[start:end])
        assert torch.equal(quantizer.to_latents(part), values[start:end])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_leaf_gives_its_codes_back(quantizer: Quantizer, dtype: torch.dtype) -> None:
    sizes = [size for leaf in quantizer.leaves for size in leaf.codebooks]
    assert len(quantizer.leaves) > 1 or set(sizes) == set(quantizer.codebooks)
    for leaf in quantizer.leaves:
        codes = all_tokens(leaf)
        assert torch.equal(leaf.to_codes(leaf.to_latents(codes).to(dtype)), codes)


@pytest.mark.parametrize("name", EXACT_AS_A_WHOLE)
def test_some_give_back_their_codes_as_a_whole(name: str) -> None:
    quantizer = made(name)
    codes = laws.spread_tokens(quantizer.codebooks, most=5000)
    latents = quantizer.to_latents(codes)
    assert torch.equal(quantizer.to_codes(latents), codes)
    assert torch.equal(quantizer.to_codes(latents.bfloat16()), codes) or name == "residual-fsq"


@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_the_encoder_gets_the_gradient_once(name: str) -> None:
    quantizer = made(name)
    latents, weights = torch.randn(7, quantizer.dim, requires_grad=True), torch.randn(7, quantizer.dim)
    (through,) = torch.autograd.grad((quantizer.quantize(latents).latents * weights).sum(), latents)
    (plain,) = torch.autograd.grad((quantizer.project(latents) * weights).sum(), latents)
    torch.testing.assert_close(through, plain)


def test_autocast_changes_nothing(quantizer: Quantizer) -> None:
    latents = torch.randn(64, quantizer.dim)
    quantizer.eval()
    with torch.autocast("cpu", torch.bfloat16):
        under, streamed = quantizer.quantize(latents), quantizer.to_codes(quantizer.project(latents))
        values = quantizer.to_latents(streamed)
    plain = quantizer.quantize(latents)
    assert torch.equal(under.codes, plain.codes)
    assert torch.equal(streamed, plain.codes)
    assert torch.equal(under.latents, plain.latents)
    assert torch.equal(values, quantizer.to_latents(plain.codes))
    assert all(torch.equal(under.losses[name], plain.losses[name]) for name in plain.losses)


def test_codes_out_of_range_are_refused(quantizer: Quantizer) -> None:
    last = len(quantizer.codebooks) - 1
    for code in (quantizer.codebooks[-1], -1):
        codes = torch.zeros(3, last + 1, dtype=torch.int64)
        codes[1, -1] = code
        with pytest.raises(ValueError, match=f"code {code} of codebook {last}:"):
            quantizer.to_latents(codes)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_quantizing_in_training_does_not_wait_for_the_device(name: str) -> None:
    quantizer = trained(name)
    with FakeTensorMode(allow_non_fake_inputs=True):  # any look at a value is an error
        out = quantizer.quantize(torch.zeros(2, 5, quantizer.dim))
    assert out.latents.shape == (2, 5, quantizer.dim)


def test_training_mode_and_steps_reach_every_quantizer(quantizer: Quantizer, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[Quantizer, int]] = []
    monkeypatch.setattr(Quantizer, "set_step", spy(Quantizer.set_step, steps))
    for leaf in quantizer.leaves:
        monkeypatch.setattr(leaf, "set_step", lambda step, leaf=leaf: steps.append((leaf, step)))
    quantizer.eval().set_step(7)
    assert not any(leaf.training for leaf in quantizer.leaves)
    for leaf in quantizer.leaves:
        assert [step for seen, step in steps if seen is leaf] == [7]


def spy(original, calls):  # type: ignore[no-untyped-def]
    def set_step(self: Quantizer, step: int) -> None:
        calls.append((self, step))
        original(self, step)

    return set_step


@pytest.mark.parametrize("name", [name for name in LEARNED if "dropout" not in name])
def test_statistics_of_parts_add_up_to_those_of_the_whole(name: str) -> None:
    quantizer = trained(name)
    quantizer.set_step(1)
    latents = torch.randn(60, quantizer.dim)
    whole, parts = quantizer.quantize(latents), [quantizer.quantize(part) for part in latents.split(20)]
    assert whole.statistics.keys() == parts[0].statistics.keys() != set()
    for key, value in whole.statistics.items():
        torch.testing.assert_close(sum(part.statistics[key] for part in parts), value, atol=1e-4, rtol=1e-5)
    counted = sum(int(value.sum()) for key, value in whole.statistics.items() if key.endswith("counts"))
    assert counted == 60 * len(quantizer.codebooks), "each code of each token is counted once"


@pytest.mark.parametrize("name", LEARNED)
def test_an_update_moves_saved_tensors_in_place_and_names_what_it_replaced(name: str) -> None:
    quantizer = trained(name)
    before = {key: tensor.clone() for key, tensor in quantizer.state_dict().items()}
    places = {key: tensor.data_ptr() for key, tensor in quantizer.state_dict().items()}
    for step in range(4):
        quantizer.set_step(step)
        replaced = quantizer.update(given_to_update(quantizer.quantize(torch.randn(200, quantizer.dim))))
    after = quantizer.state_dict()
    assert {key: tensor.data_ptr() for key, tensor in after.items()} == places
    codebooks = [key for key in after if key.endswith("codebook")]
    assert len(codebooks) == len(quantizer.leaves)
    assert all(not torch.equal(after[key], before[key]) for key in codebooks)
    assert sorted(replaced) == sorted(codebooks)
    assert all(rows.shape == after[key].shape[:1] for key, rows in replaced.items())


def given_to_update(*outs: Quantized) -> dict[str, Tensor]:
    """As the trainer gives it."""
    sums = {name: torch.stack([out.statistics[name] for out in outs]).sum(0) for name in outs[0].statistics}
    return {**sums, **{name: torch.cat([out.samples[name] for out in outs]) for name in outs[0].samples}}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_settings_survive_json_and_name_themselves(name: str) -> None:
    config = small_config(quantizer=COMBINATIONS[name])
    written = json.loads(json.dumps(config, default=lambda value: vars(value)))
    assert from_json(CNNTokenizerConfig, written, "config.json") == config
    inner: QuantizerConfig | None = COMBINATIONS[name]
    while inner is not None:
        last, inner = inner, getattr(inner, "quantizer", None)
    assert str(last) in str(config.quantizer) or name == "dual"
    encoding = config.encoding["quantizer"]
    assert encoding["kind"] == COMBINATIONS[name].kind
    assert encoding["quantizer"] == COMBINATIONS[name].quantizer.encoding  # type: ignore[union-attr]
    assert json.loads(json.dumps(encoding)) is not None


@pytest.mark.parametrize("name", ["residual", "grouped-residual", "multi-head", "dual", "residual-of-heads"])
def test_a_tokenizer_around_it_keeps_all_laws(name: str) -> None:
    torch.manual_seed(1)
    model = small_model(small_config(f_t=2, f_s=4, front_s=1, quantizer=COMBINATIONS[name]))
    verdicts = list(laws.check(model, noise_clip(1, 6, 4, 8), [[1, 0, 2], [2, 2]], 1e-4))
    assert all(verdict.held for verdict in verdicts), verdicts
    assert not any(verdict.skipped for verdict in verdicts)
    if len(model.quantizer.leaves) > 1:
        (trip,) = (verdict for verdict in verdicts if verdict.law == laws.ROUND_TRIP)
        assert f"of {len(model.quantizer.leaves)} quantizers, each on its own" in trip.detail


def test_a_lost_code_of_one_leaf_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(small_config(quantizer=COMBINATIONS["residual"]))
    leaf = model.quantizer.leaves[2]
    to_codes = leaf.to_codes
    monkeypatch.setattr(leaf, "to_codes", lambda latents: to_codes(latents).clamp_max(6))
    assert not laws.every_token_survives(model).held
