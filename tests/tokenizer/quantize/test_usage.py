import math

import pytest
import torch

from tokenizer.quantize import Usage, batch_perplexity


def tokens(codes: list[int] | list[list[int]]) -> torch.Tensor:
    """Tokens of one codebook."""
    return torch.tensor(codes).unsqueeze(-1)


def test_counts_add_up_over_calls() -> None:
    once = Usage.none((10,)).plus(tokens([[0, 1], [1, 9]]))
    twice = Usage.none((10,)).plus(tokens([0, 1])).plus(tokens([1, 9]))
    assert torch.equal(once.tables[0].entries_U, twice.tables[0].entries_U)
    assert torch.equal(once.tables[0].counts_U, twice.tables[0].counts_U)
    assert (once.tokens, once.used, once.dead, once.share) == (4, 3, 7, 0.3)
    assert once.perplexity == pytest.approx(math.exp(0.5 * math.log(2) + 0.5 * math.log(4)))


def test_perplexity_is_the_number_of_codes_used_evenly() -> None:
    assert Usage.none((8,)).perplexity == 0
    assert Usage.none((8,)).plus(torch.arange(8)[:, None]).perplexity == pytest.approx(8)
    assert Usage.none((8,)).plus(torch.full((5, 1), 3)).perplexity == pytest.approx(1)


def test_what_so_many_tokens_can_reach() -> None:
    draws = torch.randint(0, 1000, (2000,), generator=torch.Generator().manual_seed(0))
    use = Usage.none((1000,)).plus(draws[:, None])
    assert use.share == pytest.approx(use.reachable_share, abs=0.03)
    assert Usage.none((1000,)).reachable_share == 0


def test_it_is_what_counting_every_code_says() -> None:
    ids = torch.randint(0, 300, (4, 250), generator=torch.Generator().manual_seed(1)) ** 2 % 777
    use = Usage.none((777,))
    for part in ids:
        use = use.plus(part[:, None])
    counts_V = torch.bincount(ids.flatten(), minlength=777)
    assert torch.equal(use.tables[0].entries_U, counts_V.nonzero().flatten())
    assert torch.equal(use.tables[0].counts_U, counts_V[counts_V > 0])
    assert use.dead == int((counts_V == 0).sum())


def test_a_vocabulary_may_be_larger_than_memory() -> None:
    use = Usage.none((2**40,)).plus(tokens([0, 2**40 - 1, 7, 7])).joined(Usage.none((2**40,)).plus(tokens([7])))
    assert (use.tokens, use.used, use.dead) == (5, 3, 2**40 - 3)
    assert use.tables[0].counts_U.tolist() == [1, 3, 1]
    assert use.share == 3 / 2**40
    assert use.reachable_share == pytest.approx(5 / 2**40)


def test_whole_tokens_are_counted_where_they_fit_in_an_integer() -> None:
    codes = torch.tensor([[0, 1], [1, 0], [1, 0], [2, 3]])
    use = Usage.none((3, 4)).plus(codes)
    assert [table.size for table in use.tables] == [12]
    assert use.tables[0].entries_U.tolist() == [1, 3, 11]
    assert (use.tokens, use.used, use.dead, use.share) == (4, 3, 9, 0.25)
    assert float(batch_perplexity(codes, (3, 4))) == pytest.approx(use.perplexity)


def test_codebooks_are_counted_one_by_one_where_whole_tokens_do_not_fit() -> None:
    codes = torch.randint(0, 1024, (2, 500, 8), generator=torch.Generator().manual_seed(2))
    use = Usage.none((1024,) * 8).plus(codes[0]).plus(codes[1])
    alone = [Usage.none((1024,)).plus(codes[..., place, None]) for place in range(8)]
    assert use.tokens == 1000
    assert use.used == sum(one.used for one in alone)
    assert use.dead == 8 * 1024 - use.used
    for number in ("share", "reachable_share", "perplexity"):
        assert getattr(use, number) == pytest.approx(sum(getattr(one, number) for one in alone) / 8)
    assert float(batch_perplexity(codes, (1024,) * 8)) == pytest.approx(use.perplexity)


def test_of_continuous_tokens_only_the_number_is_known() -> None:
    use = Usage.none(()).plus(torch.randn(2, 3, 16)).plus(torch.randn(4, 16))
    assert use.tokens == 10
    assert math.isnan(use.share)
    assert use.used == use.dead == 0
