"""The streaming version of a block equals the block, and computes only what is read."""

import pytest
import torch

from prior import streaming
from prior.heads.base import at_positions
from prior.laws import all_known, commit_frames, start_past
from prior.linear import Linear, can_pack, pack
from prior.model import LlamaPrior
from prior.rotary import frame_rotary
from prior.streaming import arithmetic_for, is_supported
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model

packing = pytest.mark.skipif(not can_pack(torch.zeros(1, 1)), reason="torch has no oneDNN here")
PLACES = torch.tensor([[0, 3, 4], [5, 1, 2]])


@pytest.mark.parametrize("qk_norm", [True, False])
def test_a_streamed_block_equals_the_training_block(qk_norm: bool) -> None:
    config = tiny_config(qk_norm=qk_norm)
    block = tiny_model(config).blocks[0]
    turns = frame_rotary(torch.tensor([3, 4]), config.spec.groups, 12, config.theta)
    x = torch.randn(2, 12, config.width, dtype=torch.float64)
    steps = arithmetic_for(x, turns, config)
    assert steps.finish is streaming.finish
    with torch.no_grad():
        expected = block.project(x, turns)
        for got, wanted in zip(steps.project(block, x), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(steps.finish(block, x, expected[0]), block.finish(x, expected[0]))
        some = arithmetic_for(x[:, 5:7], turns, config, slice(5, 7)).project(block, x[:, 5:7])
        torch.testing.assert_close(some[0], expected[0][:, 5:7], rtol=1e-12, atol=1e-12)


@packing
def test_a_norm_is_packed_with_the_matrix_after_it() -> None:
    norm, module, x = (
        torch.nn.RMSNorm(24, 1e-3).requires_grad_(False),
        Linear(24, 40, bias=False),
        torch.randn(3, 7, 24),
    )
    module.requires_grad_(False).fuse_norm(norm)
    norm.weight.uniform_(0.5, 2)
    expected = module(norm(x))
    module.pack()
    torch.testing.assert_close(module.after_norm(x), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(module(norm(x)), expected)  # of rows that are normed already
    assert not module.after_norm(torch.zeros_like(x)).any()
    assert torch.equal(module.after_norm(x), torch.cat([module.after_norm(one) for one in x.split(1)]))
    norm.weight.mul_(2)
    torch.testing.assert_close(module.after_norm(x), 2 * expected, rtol=1e-5, atol=1e-6)
    assert [name for name, _ in module.named_modules()] == [""]


def test_the_gate_is_silu_and_its_bits_do_not_depend_on_threads() -> None:
    x, results, before = torch.randn(2, 64, 2 * 704).chunk(2, -1)[0] * 8, [], torch.get_num_threads()
    torch.testing.assert_close(streaming.silu(x), torch.nn.functional.silu(x))
    assert torch.equal(streaming.silu(torch.tensor([-1e4, 0.0, 1e4])), torch.tensor([-0.0, 0.0, 1e4]))
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        results.append(streaming.silu(x))
    torch.set_num_threads(before)
    assert all(torch.equal(one, results[0]) for one in results)


def test_half_precision_and_autocast_use_the_plain_block() -> None:
    assert is_supported(torch.zeros(1))
    assert not is_supported(torch.zeros(1, dtype=torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_supported(torch.zeros(1))


@pytest.mark.parametrize("context", [None, WORDS])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_a_proposal_for_some_positions_equals_the_whole_one_there(objective, context) -> None:
    model = tiny_model(tiny_config(objective, context=context))
    batch = tiny_batch(model.config)
    past = commit_frames(model, batch, start_past(model, batch), 0, 4)
    asked = batch.clean[:, 4], all_known(batch), past
    (whole, present), (some, same) = model.propose(*asked), model.propose(*asked, positions_BM=PLACES)
    torch.testing.assert_close(some.features, whole.at(PLACES).features, rtol=0, atol=1e-12)
    assert all(torch.equal(*pair) for pair in zip(present.keys + present.values, same.keys + same.values, strict=True))


@packing
@pytest.mark.parametrize("count", [2, 3, 8, 21, 63])
def test_packed_proposals_do_not_depend_on_the_number_of_positions(count: int) -> None:
    torch.manual_seed(count)
    config = tiny_config(shape=(8, 8))
    model = LlamaPrior(config).requires_grad_(False)
    pack(model)
    codes, known = torch.randint(3, (2, 64, 2)), torch.rand(2, 64) < 0.9
    past = model.begin(None, 2)
    places = torch.stack([torch.randperm(64)[:count] for _ in range(2)])
    whole, some = model.propose(codes, known, past)[0], model.propose(codes, known, past, positions_BM=places)[0]
    assert torch.equal(some.features, at_positions(whole.features, places))
    plain = LlamaPrior(config).requires_grad_(False)
    plain.load_state_dict(model.state_dict())
    slow = plain.propose(codes, known, plain.begin(None, 2))[0]
    torch.testing.assert_close(whole.features, slow.features, rtol=1e-5, atol=1e-5)


@packing
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_add_to_adds_the_product(rows: int) -> None:
    module = Linear(24, 40, bias=False).requires_grad_(False)
    x, y = torch.randn(3, rows, 24), torch.randn(3, rows, 40)
    expected = y + module(x)
    module.pack()
    torch.testing.assert_close(module.add_to(y, x), expected, rtol=1e-5, atol=1e-6)
    alone = torch.cat([module.add_to(*pair) for pair in zip(y.split(1), x.split(1), strict=True)])
    assert rows == 1 or torch.equal(module.add_to(y, x), alone)  # one row takes the plain product
    module.weight.mul_(2)
    torch.testing.assert_close(module.add_to(y, x), 2 * expected - y, rtol=1e-5, atol=1e-6)
