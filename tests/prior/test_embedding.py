import pytest
import torch

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig
from prior.embedding import Embedding
from prior.heads.chain import ChainHead
from tests.prior.models import CHAIN, GROUPS_OF_TWO, grid_spec, tiny_config
from tests.prior.test_heads import WIDTH, all_tokens


def test_the_embedding_is_the_sum_over_codes_and_unknown_tokens_have_their_own():
    embedding = Embedding(tiny_config(codebooks=(4, 3)), WIDTH)
    codes, known = torch.tensor([[0, 0], [3, 1], [2, 2]]), torch.tensor([True, True, False])
    vectors = embedding.tokens(codes, known)
    torch.testing.assert_close(vectors[1], embedding.tables[0].weight[3] + embedding.tables[1].weight[1])
    assert torch.equal(vectors[2], embedding.masked)
    everything = torch.cat([embedding.tokens(all_tokens((4, 3))), embedding.masked[None], embedding.start[None]])
    assert len(torch.unique(everything, dim=0)) == 14


def test_unknown_tokens_give_the_tables_no_gradient():
    embedding = Embedding(tiny_config(codebooks=(4, 3)), WIDTH)
    embedding.tokens(torch.tensor([[1, 2]]), torch.tensor([False])).sum().backward()
    assert all(not table.weight.grad.any() for table in embedding.tables)
    assert embedding.masked.grad.all()


def test_continuous_tokens_have_a_linear_embedding_and_no_chain_head():
    config = tiny_config(spec=TokenSpec((), grid_spec((2,)).groups, 4, channels=5))
    embedding, values = Embedding(config, config.width), torch.randn(2, 6, 5)
    torch.testing.assert_close(embedding.tokens(values), embedding.inputs(values))
    with pytest.raises(ValueError, match="continuous"):
        ChainHead(CHAIN, config.spec, WIDTH)


def test_groups_and_controls_add_embeddings():
    embedding = Embedding(tiny_config(spec=GROUPS_OF_TWO, control=ControlConfig(discrete=3)), WIDTH)
    x = torch.zeros(1, 2, GROUPS_OF_TWO.tokens, WIDTH)
    sizes = tuple(group.tokens for group in GROUPS_OF_TWO.groups)
    placed = embedding.of_frames(x, sizes, torch.tensor([[2, -1]])).view_as(x)
    coarse, fine = embedding.group.weight
    torch.testing.assert_close(placed[0, 0, 0], coarse + embedding.control.values.weight[2])
    torch.testing.assert_close(placed[0, 1, -1], fine + embedding.control.absent)
