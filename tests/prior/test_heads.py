"""What every head for codes promises, and what is particular to each."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from interfaces.prior import DrawSettings
from prior.head_config import ChainConfig, DepthConfig, FlatConfig
from prior.heads import make_head
from prior.heads.flat import FlatHead
from prior.heads.token_sampling import apply_guidance
from tests.prior.models import FixedNumbers, grid_spec

CODEBOOKS = [(11,), (4, 3), (3, 2, 2)]
KINDS = [ChainConfig(), DepthConfig(layers=2, width=16, heads=2), FlatConfig()]
every = pytest.mark.parametrize("codebooks", CODEBOOKS, ids=str)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
WIDTH = 48


def random_head(codebooks, kind=KINDS[0]):
    torch.manual_seed(0)
    head = make_head(kind, grid_spec(codebooks), WIDTH)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def all_tokens(codebooks):
    """All tokens [V, K]; the first code varies fastest."""
    return torch.tensor([token[::-1] for token in itertools.product(*map(range, codebooks[::-1]))])


def random_tokens(codebooks, *shape):
    return torch.stack([torch.randint(size, shape) for size in codebooks], -1)


def log_probabilities(head, features):
    """The log-probability of every token [..., V], from what the head says of each code in plain loops."""
    tokens = all_tokens(head.codebooks)
    if isinstance(head, FlatHead):
        assert torch.equal(head.split(torch.arange(len(tokens))), tokens)
        return head(features).log_softmax(-1)
    columns = []
    for token in tokens:
        logits = head.readings(features, token.expand(*features.shape[:-1], -1))
        columns.append(sum(each.log_softmax(-1)[..., code] for each, code in zip(logits, token.tolist(), strict=True)))
    return torch.stack(columns, -1)


@each_kind
@every
def test_the_probabilities_of_all_tokens_sum_to_one(codebooks, kind):
    head, features = random_head(codebooks, kind), torch.randn(5, WIDTH)
    total = log_probabilities(head, features).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5))
    tokens = all_tokens(codebooks).expand(5, -1, -1)
    nats = head.losses(features[:, None].expand(-1, math.prod(codebooks), -1), tokens).nats
    torch.testing.assert_close(nats.neg().exp().sum(-1), torch.ones(5))


@each_kind
@every
def test_losses_are_the_negative_log_likelihood(codebooks, kind):
    head, features = random_head(codebooks, kind), torch.randn(2, 3, 4, WIDTH)
    codes = random_tokens(codebooks, 2, 3, 4)
    losses = head.losses(features, codes)
    numbers = (codes * torch.tensor([1, *codebooks[:-1]]).cumprod(0)).sum(-1, keepdim=True)
    chosen = log_probabilities(head, features).gather(-1, numbers)[..., 0]
    torch.testing.assert_close(losses.nats, -chosen)
    torch.testing.assert_close(losses.loss, losses.nats)
    assert not losses.nats.requires_grad
    assert losses.loss.requires_grad


@each_kind
@every
def test_right_is_when_every_code_is_the_top_guess(codebooks, kind):
    head, features = random_head(codebooks, kind), torch.randn(4, 50, WIDTH)
    top = head.guesses(features)
    assert head.losses(features, top).right.all()
    for place, size in enumerate(codebooks):
        other = top.clone()
        other[..., place] = (other[..., place] + 1) % size
        assert not head.losses(features, other).right.any()


@each_kind
@every
def test_what_is_drawn_has_the_probability_that_the_losses_say(codebooks, kind):
    """Sampling reads a token code by code, training all codes at once."""
    head, features = random_head(codebooks, kind), torch.randn(2, 7, WIDTH)
    rng = FixedNumbers(torch.rand(2, 7, 3, dtype=torch.float64))
    codes, confidence = head.sample(features, DrawSettings(), rng)
    assert codes.shape == (2, 7, len(codebooks))
    torch.testing.assert_close(confidence, -head.losses(features, codes).nats)
    coldest, _ = head.sample(features, DrawSettings(temperature=0), rng)
    assert torch.equal(coldest, head.guesses(features))


@each_kind
def test_draws_follow_the_distribution(kind):
    """Evenly spaced uniform numbers for each code: the shares of the draws are the probabilities."""
    codebooks, count = (3, 2), 1200
    head, features = random_head(codebooks, kind), torch.randn(1, 1, WIDTH)
    grid = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    shuffled = grid[torch.randperm(count, generator=torch.Generator().manual_seed(1))]
    rng = FixedNumbers(torch.stack([grid, shuffled], -1)[None])
    codes, _ = head.sample(features.expand(1, count, -1), DrawSettings(), rng)
    shares = torch.bincount(codes[0, :, 0] + 3 * codes[0, :, 1], minlength=6) / count
    expected = log_probabilities(head, features[0, 0]).exp()
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.03)


@each_kind
def test_guidance_is_between_two_rows_of_features(kind):
    codebooks = (3, 2, 2)
    head, pair = random_head(codebooks, kind), torch.randn(2, 6, WIDTH)
    rng = FixedNumbers(torch.rand(1, 6, 3, dtype=torch.float64))
    same = head.sample(pair[:1].repeat(2, 1, 1), DrawSettings(guidance=5.0), rng)[0]
    assert torch.equal(same, head.sample(pair[:1], DrawSettings(), rng)[0])
    codes, confidence = head.sample(pair, DrawSettings(guidance=3.0), rng)
    both = head.readings(pair, codes.expand(2, -1, -1))
    guided = [apply_guidance(logits, 3.0).log_softmax(-1) for logits in both]
    drawn = codes.unbind(-1) if len(guided) == 3 else [head.joined(codes)]
    total = sum(log_p.gather(-1, code.unsqueeze(-1)).squeeze(-1) for log_p, code in zip(guided, drawn, strict=True))
    torch.testing.assert_close(confidence, total)


@each_kind
def test_a_row_of_features_alone_draws_what_it_draws_in_a_batch(kind):
    head, features = random_head((3, 2, 2), kind).double(), torch.randn(3, 6, WIDTH).double()
    numbers = torch.rand(3, 6, 3, dtype=torch.float64)
    together, _ = head.sample(features, DrawSettings(), FixedNumbers(numbers))
    for row in range(3):
        one = slice(row, row + 1)
        alone, _ = head.sample(features[one], DrawSettings(), FixedNumbers(numbers[one]))
        assert torch.equal(alone, together[one])


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.kind)
def test_the_logits_of_a_code_depend_on_all_codes_before_it_and_on_no_later_one(kind):
    head, features = random_head((3, 2, 2), kind), torch.randn(WIDTH)
    tokens = all_tokens((3, 2, 2))
    first, second, third = head.readings(features.expand(len(tokens), -1), tokens)
    for logits, known in ((first, 0), (second, 1), (third, 2)):
        for one, other in itertools.combinations(range(len(tokens)), 2):
            apart = (logits[one] - logits[other]).abs().max()
            same = bool((tokens[one, :known] == tokens[other, :known]).all())
            assert (apart < 1e-5) if same else (apart > 1e-3)


@each_kind
def test_one_codebook_has_torchs_label_smoothing(kind):
    head, features, ids = random_head((11,), kind), torch.randn(7, WIDTH), torch.randint(11, (7,))
    (logits,) = head.readings(features, ids[:, None])
    for smoothing in (0.0, 0.1, 1.0):
        expected = F.cross_entropy(logits, ids, reduction="none", label_smoothing=smoothing)
        losses = head.losses(features, ids[:, None], smoothing)
        torch.testing.assert_close(losses.loss, expected)
        torch.testing.assert_close(losses.nats, F.cross_entropy(logits, ids, reduction="none"))


def test_a_chain_over_one_codebook_is_a_linear_layer():
    head, features = random_head((11,)), torch.randn(7, WIDTH)
    torch.testing.assert_close(head(features, torch.zeros(7, 0).long()), features @ head.read[0].weight.T)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.kind)
@every
def test_smoothing_never_rewards_certainty_beyond_the_truth(codebooks, kind):
    """The loss is the cross-entropy to the smoothed codes, so its minimum is at the smoothed distribution."""
    head, features = random_head(codebooks, kind), torch.randn(6, WIDTH)
    codes = random_tokens(codebooks, 6)
    plain, smooth = head.losses(features, codes), head.losses(features, codes, 0.2)
    torch.testing.assert_close(plain.nats, smooth.nats)
    floor = sum(-(1 - 0.2) * torch.tensor(0.8 + 0.2 / base).log() for base in codebooks) * 0.5
    assert (smooth.loss > floor).all()


def test_one_softmax_has_a_limit():
    with pytest.raises(ValueError, match="131,072 tokens; at most 65,536"):
        make_head(FlatConfig(), grid_spec((2,) * 17), WIDTH)
    assert make_head(FlatConfig(), grid_spec((2,) * 16), 2).read.weight.shape == (65536, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"layers": 0}, "layers = 0"), ({"width": 20, "heads": 4}, "multiple of 2 x heads = 8"), ({"heads": 0}, "heads")],
)
def test_settings_of_the_depth_transformer_are_checked(settings, said):
    with pytest.raises(ValueError, match=said):
        DepthConfig(**settings)
