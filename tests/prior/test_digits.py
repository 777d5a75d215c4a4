import itertools

import pytest
import torch
from prior.digits import Embedding, Head
from prior.vocabulary import Vocabulary
from torch.nn import functional as F

DIGITS = [(11,), (4, 3), (3, 2, 2)]
every = pytest.mark.parametrize("digits", DIGITS, ids=str)


def random_head(digits, width=16):
    torch.manual_seed(0)
    head = Head(Vocabulary(digits), width)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


def log_probabilities(head, features):
    """Of every id [..., V], by the chain rule, digit after digit, in plain loops."""
    vocabulary, columns = head.vocabulary, []
    for number in range(vocabulary.size):
        digits, rest, total = [], number, 0
        for base in vocabulary.digits:
            known = torch.tensor(digits, dtype=torch.int64).expand(*features.shape[:-1], len(digits))
            logits = head(features, known)
            total = total + logits[..., rest % base] - logits.logsumexp(-1)
            digits.append(rest % base)
            rest //= base
        columns.append(total)
    return torch.stack(columns, -1)


@every
def test_the_probabilities_of_all_ids_sum_to_one(digits):
    head, features = random_head(digits), torch.randn(5, 16)
    total = log_probabilities(head, features).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5))
    every_id = torch.arange(head.vocabulary.size).expand(5, -1)
    nats = head.answers(features[:, None].expand(-1, head.vocabulary.size, -1), every_id).nats
    torch.testing.assert_close(nats.neg().exp().sum(-1), torch.ones(5))


@every
def test_answers_are_the_log_probabilities_of_the_truth(digits):
    head, features = random_head(digits), torch.randn(2, 3, 4, 16)
    ids = torch.randint(head.vocabulary.size, (2, 3, 4))
    answers = head.answers(features, ids)
    chosen = log_probabilities(head, features).gather(-1, ids[..., None])[..., 0]
    torch.testing.assert_close(answers.nats, -chosen)
    torch.testing.assert_close(answers.loss, answers.nats)
    assert not answers.nats.requires_grad
    assert answers.loss.requires_grad


@every
def test_right_is_when_every_digit_is_the_top_guess(digits):
    head, features = random_head(digits), torch.randn(200, 16)
    guess = torch.zeros(200, 0, dtype=torch.int64)
    for _ in digits:
        guess = torch.cat([guess, head(features, guess).argmax(-1, keepdim=True)], -1)
    top = head.vocabulary.to_ids(guess)
    assert head.answers(features, top).right.all()
    assert not head.answers(features, (top + 1) % head.vocabulary.size).right.any()


def test_a_digit_is_read_with_all_the_digits_before_it_in_mind():
    head, features = random_head((3, 2, 2)), torch.randn(16)
    second = [head(features, torch.tensor([first])) for first in range(3)]
    third = [head(features, torch.tensor(known)) for known in itertools.product(range(3), range(2))]
    for rows in (second, third):
        assert min((one - other).abs().max() for one, other in itertools.combinations(rows, 2)) > 1e-3


def test_one_digit_is_a_plain_llama_head_with_label_smoothing_as_torch_has_it():
    head, features, ids = random_head((11,)), torch.randn(7, 16), torch.randint(11, (7,))
    logits = features @ head.read[0].weight.T
    for smoothing in (0.0, 0.1, 1.0):
        expected = F.cross_entropy(logits, ids, reduction="none", label_smoothing=smoothing)
        answers = head.answers(features, ids, smoothing)
        torch.testing.assert_close(answers.loss, expected)
        torch.testing.assert_close(answers.nats, F.cross_entropy(logits, ids, reduction="none"))


@every
def test_smoothing_never_rewards_certainty_beyond_the_truth(digits):
    """Summed over digits it is the cross-entropy to the softened digits: its least is at the softened ones."""
    head, features = random_head(digits), torch.randn(6, 16)
    ids = torch.randint(head.vocabulary.size, (6,))
    plain, smooth = head.answers(features, ids), head.answers(features, ids, 0.2)
    torch.testing.assert_close(plain.nats, smooth.nats)
    floor = sum(-(1 - 0.2) * torch.tensor(0.8 + 0.2 / base).log() for base in digits) * 0.5
    assert (smooth.loss > floor).all()


def test_the_embedding_is_the_sum_of_the_digits_and_special_ids_have_their_own():
    embedding = Embedding(Vocabulary((4, 3)), 16)
    ids = torch.tensor([[0, 7], [12, -1]])
    vectors = embedding(ids)
    torch.testing.assert_close(vectors[0, 1], embedding.tables[0].weight[3] + embedding.tables[1].weight[1])
    assert torch.equal(vectors[1, 0], embedding.masked)
    assert torch.equal(vectors[1, 1], embedding.start)
    everything = embedding(torch.arange(-1, 13))
    assert len(torch.unique(everything, dim=0)) == 14


def test_masks_and_starts_teach_the_tables_nothing():
    embedding = Embedding(Vocabulary((4, 3)), 16)
    embedding(torch.tensor([12, -1])).sum().backward()
    assert all(not table.weight.grad.any() for table in embedding.tables)
    assert embedding.masked.grad.all()
    assert embedding.start.grad.all()
