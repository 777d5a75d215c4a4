import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig
from prior.embedding import Embedding
from prior.heads.chain import ChainHead
from tests.prior.models import GROUPS_OF_TWO, grid_spec, tiny_config

CODEBOOKS = [(11,), (4, 3), (3, 2, 2)]
every = pytest.mark.parametrize("codebooks", CODEBOOKS, ids=str)
WIDTH = 48


def random_head(codebooks):
    torch.manual_seed(0)
    head = ChainHead(tiny_config(codebooks=codebooks))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def all_tokens(codebooks):
    """All tokens [V, K]; the first code varies fastest."""
    return torch.tensor([token[::-1] for token in itertools.product(*map(range, codebooks[::-1]))])


def random_tokens(codebooks, *shape):
    return torch.stack([torch.randint(size, shape) for size in codebooks], -1)


def log_probabilities(head, features):
    """The log-probability of every token [..., V], by the chain rule in plain loops."""
    columns = []
    for token in all_tokens(head.codebooks):
        total = 0
        for place, code in enumerate(token.tolist()):
            logits = head(features, token[:place].expand(*features.shape[:-1], place))
            total = total + logits[..., code] - logits.logsumexp(-1)
        columns.append(total)
    return torch.stack(columns, -1)


@every
def test_the_probabilities_of_all_tokens_sum_to_one(codebooks):
    head, features = random_head(codebooks), torch.randn(5, WIDTH)
    total = log_probabilities(head, features).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5))
    tokens = all_tokens(codebooks).expand(5, -1, -1)
    nats = head.losses(features[:, None].expand(-1, math.prod(codebooks), -1), tokens).nats
    torch.testing.assert_close(nats.neg().exp().sum(-1), torch.ones(5))


@every
def test_losses_are_the_negative_log_likelihood(codebooks):
    head, features = random_head(codebooks), torch.randn(2, 3, 4, WIDTH)
    codes = random_tokens(codebooks, 2, 3, 4)
    losses = head.losses(features, codes)
    numbers = (codes * torch.tensor([1, *codebooks[:-1]]).cumprod(0)).sum(-1, keepdim=True)
    chosen = log_probabilities(head, features).gather(-1, numbers)[..., 0]
    torch.testing.assert_close(losses.nats, -chosen)
    torch.testing.assert_close(losses.loss, losses.nats)
    assert not losses.nats.requires_grad
    assert losses.loss.requires_grad


@every
def test_right_is_when_every_code_is_the_top_guess(codebooks):
    head, features = random_head(codebooks), torch.randn(200, WIDTH)
    top = head.guesses(features)
    assert head.losses(features, top).right.all()
    for place, size in enumerate(codebooks):
        other = top.clone()
        other[:, place] = (other[:, place] + 1) % size
        assert not head.losses(features, other).right.any()


def test_the_logits_of_a_code_depend_on_all_codes_before_it():
    head, features = random_head((3, 2, 2)), torch.randn(WIDTH)
    second = [head(features, torch.tensor([first])) for first in range(3)]
    third = [head(features, torch.tensor(known)) for known in itertools.product(range(3), range(2))]
    for rows in (second, third):
        assert min((one - other).abs().max() for one, other in itertools.combinations(rows, 2)) > 1e-3


def test_one_codebook_is_a_linear_head_with_torchs_label_smoothing():
    head, features, ids = random_head((11,)), torch.randn(7, WIDTH), torch.randint(11, (7,))
    logits = features @ head.read[0].weight.T
    for smoothing in (0.0, 0.1, 1.0):
        expected = F.cross_entropy(logits, ids, reduction="none", label_smoothing=smoothing)
        losses = head.losses(features, ids[:, None], smoothing)
        torch.testing.assert_close(losses.loss, expected)
        torch.testing.assert_close(losses.nats, F.cross_entropy(logits, ids, reduction="none"))


@every
def test_smoothing_never_rewards_certainty_beyond_the_truth(codebooks):
    """The loss is the cross-entropy to the smoothed codes, so its minimum is at the smoothed distribution."""
    head, features = random_head(codebooks), torch.randn(6, WIDTH)
    codes = random_tokens(codebooks, 6)
    plain, smooth = head.losses(features, codes), head.losses(features, codes, 0.2)
    torch.testing.assert_close(plain.nats, smooth.nats)
    floor = sum(-(1 - 0.2) * torch.tensor(0.8 + 0.2 / base).log() for base in codebooks) * 0.5
    assert (smooth.loss > floor).all()


def test_the_embedding_is_the_sum_over_codes_and_unknown_tokens_have_their_own():
    embedding = Embedding(tiny_config(codebooks=(4, 3)))
    codes, known = torch.tensor([[0, 0], [3, 1], [2, 2]]), torch.tensor([True, True, False])
    vectors = embedding.tokens(codes, known)
    torch.testing.assert_close(vectors[1], embedding.tables[0].weight[3] + embedding.tables[1].weight[1])
    assert torch.equal(vectors[2], embedding.masked)
    everything = torch.cat([embedding.tokens(all_tokens((4, 3))), embedding.masked[None], embedding.start[None]])
    assert len(torch.unique(everything, dim=0)) == 14


def test_unknown_tokens_give_the_tables_no_gradient():
    embedding = Embedding(tiny_config(codebooks=(4, 3)))
    embedding.tokens(torch.tensor([[1, 2]]), torch.tensor([False])).sum().backward()
    assert all(not table.weight.grad.any() for table in embedding.tables)
    assert embedding.masked.grad.all()


def test_continuous_tokens_have_a_linear_embedding_and_no_chain_head():
    config = tiny_config(spec=TokenSpec((), grid_spec((2,)).groups, 4, channels=5))
    embedding, values = Embedding(config), torch.randn(2, 6, 5)
    torch.testing.assert_close(embedding.tokens(values), embedding.inputs(values))
    with pytest.raises(ValueError, match="continuous"):
        ChainHead(config)


def test_groups_and_controls_add_embeddings():
    embedding = Embedding(tiny_config(spec=GROUPS_OF_TWO, control=ControlConfig(discrete=3)))
    x = torch.zeros(1, 2, GROUPS_OF_TWO.tokens, WIDTH)
    sizes = tuple(group.tokens for group in GROUPS_OF_TWO.groups)
    placed = embedding.of_frames(x, sizes, torch.tensor([[2, -1]])).view_as(x)
    coarse, fine = embedding.group.weight
    torch.testing.assert_close(placed[0, 0, 0], coarse + embedding.control.values.weight[2])
    torch.testing.assert_close(placed[0, 1, -1], fine + embedding.control.absent)
