"""Packed linear layers equal plain ones: after changes of the weights, for single samples, and in copies."""

import copy

import pytest
import torch
from torch.nn import functional as F

from prior import linear
from prior.linear import Linear, can_pack, pack
from prior.model import LlamaPrior
from tests.prior.models import tiny_config

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(1, 1)), reason="torch has no oneDNN here")


def packed(bias: bool = False) -> Linear:
    module = Linear(24, 40, bias=bias).requires_grad_(False)
    module.pack()
    return module


def only_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the plain product was taken")

    monkeypatch.setattr(linear.F, "linear", refuse)


@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_product_equals_the_plain_one(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = packed(bias), torch.randn(2, 16, 24)
    wanted = F.linear(x.double(), module.weight.double(), module.bias.double() if bias else None)
    only_packed(monkeypatch)
    torch.testing.assert_close(module(x).double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [2, 7, 64, 257])
def test_a_sample_of_a_batch_is_that_sample_alone(rows: int) -> None:
    module, x = packed(), torch.randn(5, rows, 24)
    assert torch.equal(module(x), torch.cat([module(one) for one in x.split(1)]))


def test_changed_weights_are_not_replaced_by_packed_ones() -> None:
    module, x = packed(), torch.randn(4, 24)
    module.weight.mul_(2)
    assert torch.equal(module(x), F.linear(x, module.weight))
    module.load_state_dict(packed().state_dict())
    assert torch.equal(module(x), F.linear(x, module.weight))


def test_inputs_with_gradients_use_the_plain_product() -> None:
    module, x = packed().requires_grad_(True), torch.randn(4, 24)
    module(x).sum().backward()
    assert module.weight.grad is not None
    module, x = packed(), torch.randn(4, 24, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None


def test_moving_to_another_dtype_and_back_packs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = packed(), torch.randn(4, 24)
    before = module(x)
    assert module.double()(x.double()).dtype == torch.float64
    back = module.float()
    only_packed(monkeypatch)
    assert torch.equal(back(x), before)


def test_packing_twice_packs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, done = torch.nn.Sequential(Linear(4, 4), Linear(4, 4)).requires_grad_(False), []
    pack_one = Linear.pack
    monkeypatch.setattr(Linear, "pack", lambda self: (done.append(self), pack_one(self)))
    for _ in range(2):
        pack(network)
    assert len(done) == 2
    network[0].weight.mul_(2)
    pack(network)
    assert done[2:] == [network[0]]


def test_a_copy_has_its_own_packed_weights() -> None:
    module, x = packed(), torch.randn(4, 24)
    other = copy.deepcopy(module)
    other.weight.zero_()
    assert not other(x).any()
    assert module(x).any()


def test_a_packed_network_has_the_same_weights_and_names() -> None:
    network = LlamaPrior(tiny_config()).requires_grad_(False)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    pack(network)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(module.packed is not None for module in network.modules() if isinstance(module, Linear))
