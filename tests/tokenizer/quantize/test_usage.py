import math

import pytest
import torch

from tokenizer.quantize import Usage


def test_counts_add_up_over_calls() -> None:
    once = Usage.none(10).plus(torch.tensor([[0, 1], [1, 9]]))
    twice = Usage.none(10).plus(torch.tensor([0, 1])).plus(torch.tensor([1, 9]))
    assert torch.equal(once.codes_U, twice.codes_U)
    assert torch.equal(once.counts_U, twice.counts_U)
    assert (once.tokens, once.used, once.dead, once.share) == (4, 3, 7, 0.3)
    assert once.perplexity == pytest.approx(math.exp(0.5 * math.log(2) + 0.5 * math.log(4)))


def test_perplexity_is_the_number_of_codes_used_evenly() -> None:
    assert Usage.none(8).perplexity == 0
    assert Usage.none(8).plus(torch.arange(8)).perplexity == pytest.approx(8)
    assert Usage.none(8).plus(torch.full((5,), 3)).perplexity == pytest.approx(1)


def test_what_so_many_tokens_can_reach() -> None:
    draws = torch.randint(0, 1000, (2000,), generator=torch.Generator().manual_seed(0))
    use = Usage.none(1000).plus(draws)
    assert use.share == pytest.approx(use.reachable_share, abs=0.03)
    assert Usage.none(1000).reachable_share == 0


def test_it_is_what_counting_every_code_says() -> None:
    ids = torch.randint(0, 300, (4, 250), generator=torch.Generator().manual_seed(1)) ** 2 % 777
    use = Usage.none(777)
    for part in ids:
        use = use.plus(part)
    counts_V = torch.bincount(ids.flatten(), minlength=777)
    assert torch.equal(use.codes_U, counts_V.nonzero().flatten())
    assert torch.equal(use.counts_U, counts_V[counts_V > 0])
    assert use.dead == int((counts_V == 0).sum())


def test_a_vocabulary_may_be_larger_than_memory() -> None:
    use = Usage.none(2**40).plus(torch.tensor([0, 2**40 - 1, 7, 7])).joined(Usage.none(2**40).plus(torch.tensor([7])))
    assert (use.tokens, use.used, use.dead) == (5, 3, 2**40 - 3)
    assert use.counts_U.tolist() == [1, 3, 1]
    assert use.share == 3 / 2**40
    assert use.reachable_share == pytest.approx(5 / 2**40)
