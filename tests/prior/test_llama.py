"""The blocks are Llama blocks: with the same weights, the logits equal those of `transformers`."""

import dataclasses

import pytest
import torch

from prior import model as prior_model
from prior.config import PriorConfig
from prior.laws import all_known, proposals
from prior.llama import blocks_from_llama, model_from_llama
from prior.model import LlamaPrior, PriorBatch
from prior.rotary import rotary_at
from tests.prior.models import grid_spec, tiny_config

VOCABULARY = 29


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def llama(request):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=44,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=request.param,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)
    return model


@pytest.fixture(autouse=True)
def positions_on_a_line(monkeypatch):
    """The tokens of a language model are a line; those of a prior have frames."""

    def line(config, start, frames, groups, device):
        tokens = sum(group.tokens for group in groups)
        places_S1 = torch.arange(start * tokens, (start + frames) * tokens, device=device)[:, None]
        return rotary_at(places_S1.expand(-1, config.head_dim // 2), config.head_dim, config.theta)

    monkeypatch.setattr(prior_model, "rotary_of", line)
    monkeypatch.setattr(prior_model, "cached_rotary", line)


def checkpoint(llama):
    """The weights as in a checkpoint: tied weights once."""
    tied = llama.config.tie_word_embeddings
    return {name: each for name, each in llama.state_dict().items() if not (tied and name == "lm_head.weight")}


def same_shape(layers: int = 3) -> PriorConfig:
    return PriorConfig(
        spec=grid_spec((VOCABULARY,)),
        width=32,
        layers=layers,
        heads=4,
        kv_heads=2,
        hidden=44,
        window=4,
        objective="autoregressive",
        context=None,
        qk_norm=False,
        theta=10_000.0,
        epsilon=1e-5,
    )


def language_model(llama):
    model = LlamaPrior(same_shape())
    loaded = model.load_state_dict(model_from_llama(checkpoint(llama), model.config), strict=False)
    assert loaded.unexpected_keys == []
    assert set(loaded.missing_keys) == {"embedding.masked", "embedding.start"}
    return model


def sentence(model, first, seed=0):
    """Words t0 .. tn, n = 4 x 2 x 3; the prior gets t0 as its start vector, the rest as clips."""
    words_BS = torch.randint(VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(seed))
    model.embedding.start.data.copy_(model.embedding.tables[0].weight[first])
    clip = words_BS.view(2, 4, 6, 1)
    batch = PriorBatch(clip, clip, None, None, torch.zeros(2), model.spec)
    return torch.cat([torch.full((2, 1), first), words_BS], 1), batch


@torch.no_grad()
def test_a_converted_model_has_the_logits_of_transformers(llama):
    model = language_model(llama)
    words_BS, batch = sentence(model, first=5)
    expected = llama(words_BS[:, :-1]).logits
    assert expected.std() > 1
    for kernel in ("gathered", "dense", "oracle"):
        features = model.features(batch, kernel).flatten(1, 2)
        logits = model.head(features, torch.zeros(2, 24, 0, dtype=torch.int64))
        assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
def test_a_converted_model_streams_the_logits_of_transformers(llama):
    model = language_model(llama)
    words_BS, batch = sentence(model, first=7, seed=1)
    expected = llama(words_BS[:, :-1]).logits.view(2, 4, 6, -1)
    nothing = torch.zeros(2, 6, 0, dtype=torch.int64)
    for t, proposal in enumerate(proposals(model, batch)):
        logits = model.head(proposal.features, nothing)
        assert (logits - expected[:, t]).abs().max() < 1e-5 * expected.abs().max()
    past = model.begin(None, 2)
    for t in range(4):
        for n in range(6):
            logits = model.head(model.next_token(batch.clean[:, t, :n], past).features, nothing[:, :1])
            assert (logits[:, 0] - expected[:, t, n]).abs().max() < 1e-5 * expected.abs().max()
        past = model.commit(past, model.propose(batch.clean[:, t], all_known(batch), past)[1])


@torch.no_grad()
def test_a_converted_model_has_the_likelihood_of_transformers(llama):
    model = language_model(llama)
    words_BS, batch = sentence(model, first=3, seed=2)
    nats = model(batch).nats.flatten(1)
    expected = torch.nn.functional.cross_entropy(
        llama(words_BS[:, :-1]).logits.transpose(1, 2), words_BS[:, 1:], reduction="none"
    )
    torch.testing.assert_close(nats, expected, rtol=1e-4, atol=1e-4)


def test_blocks_initialize_a_prior_with_fewer_layers(llama):
    config = dataclasses.replace(tiny_config(layers=2), hidden=44, width=32)
    model = LlamaPrior(config)
    weights = blocks_from_llama(checkpoint(llama), config)
    loaded = model.load_state_dict(weights, strict=False)
    assert loaded.unexpected_keys == []
    kept = ("embedding.", "head.", *(f"layers.{n}.{part}_norm." for n in range(2) for part in "qk"))
    assert all(name.startswith(kept) for name in loaded.missing_keys)
    theirs = llama.model.layers[1]
    assert torch.equal(model.layers[1].qkv.weight[32:48], theirs.self_attn.k_proj.weight)
    assert torch.equal(model.layers[1].gate_up.weight[44:], theirs.mlp.up_proj.weight)
    assert torch.equal(model.norm.weight, llama.model.norm.weight)


def test_qk_norms_are_converted_if_both_models_have_them(llama):
    extra = {f"model.layers.{n}.self_attn.{part}_norm.weight": torch.randn(8) for n in range(3) for part in "qk"}
    config = dataclasses.replace(same_shape(), qk_norm=True)
    model = LlamaPrior(config)
    model.load_state_dict(blocks_from_llama(checkpoint(llama) | extra, config), strict=False)
    assert torch.equal(model.layers[2].k_norm.weight, extra["model.layers.2.self_attn.k_norm.weight"])
    with pytest.raises(ValueError, match=r"layers\.0\.self_attn\.[qk]_norm\.weight.* \(8,\)"):
        blocks_from_llama(checkpoint(llama) | extra, same_shape())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 40}, r"model\.embed_tokens\.weight has shape \(29, 32\); this prior takes \(29, 40\)"),
        ({"hidden": 48}, r"layers\.0\.mlp\.gate_proj\.weight has shape \(44, 32\); this prior takes \(48, 32\)"),
        ({"kv_heads": 4}, r"layers\.0\.self_attn\.k_proj\.weight has shape \(16, 32\); this prior takes \(32, 32\)"),
        ({"layers": 4}, r"model\.layers\.3\.input_layernorm\.weight is not in the checkpoint"),
        ({"spec": grid_spec((30,))}, r"model\.embed_tokens\.weight has shape \(29, 32\); this prior takes \(30, 32\)"),
        ({"spec": grid_spec((4, 3))}, r"codebooks = \(4, 3\)"),
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_are_named(llama, change, message):
    with pytest.raises(ValueError, match=message):
        model_from_llama(checkpoint(llama), dataclasses.replace(same_shape(), **change))


def test_biases_are_refused_and_old_angles_ignored(llama):
    angles = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    assert "layers.0.qkv.weight" in blocks_from_llama(checkpoint(llama) | angles, same_shape())
    bias = {"model.layers.1.self_attn.q_proj.bias": torch.zeros(32)}
    with pytest.raises(ValueError, match=r"layers\.1\.self_attn\.q_proj\.bias.* \(32,\)"):
        blocks_from_llama(checkpoint(llama) | bias, same_shape())
    assert blocks_from_llama(checkpoint(llama) | bias, same_shape(layers=1))
