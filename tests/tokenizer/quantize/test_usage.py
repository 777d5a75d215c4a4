import math

import pytest
import torch

from tokenizer.quantize import Usage


def test_counts_add_up_over_calls() -> None:
    once = Usage.none(10).plus(torch.tensor([[0, 1], [1, 9]]))
    twice = Usage.none(10).plus(torch.tensor([0, 1])).plus(torch.tensor([1, 9]))
    assert torch.equal(once.counts_V, twice.counts_V)
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
