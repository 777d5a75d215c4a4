"""The factorized entropies against the sum over every code, in values and in every element of the gradient."""

import math

import pytest
import torch
from torch import Tensor

from tokenizer.quantize import entropy
from tokenizer.quantize.entropy import batch_entropy, bits_of, sample_entropy


def beliefs(logits_ND: Tensor) -> Tensor:
    """p(c | n) [N, 2^D] for every code, written out."""
    bits_CD = bits_of(torch.arange(2 ** logits_ND.shape[1]), logits_ND.shape[1]).to(logits_ND)
    logs_NC = logits_ND @ bits_CD.T
    return logs_NC.softmax(-1)


def entropy_of(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


@pytest.mark.parametrize("bits", [1, 2, 3, 7, 10, 14])
@pytest.mark.parametrize("spread", [0.3, 4.0])
def test_values_and_gradients_are_those_of_the_sum_over_all_codes(bits: int, spread: float) -> None:
    logits = (torch.randn(24, bits, dtype=torch.float64) * spread).requires_grad_()
    p_NC = beliefs(logits)
    pairs = ((sample_entropy(logits), entropy_of(p_NC).mean()), (batch_entropy(logits), entropy_of(p_NC.mean(0))))
    for ours, oracle in pairs:
        torch.testing.assert_close(ours, oracle, atol=1e-10, rtol=1e-10)
        (slope,) = torch.autograd.grad(ours, logits, retain_graph=True)
        (oracle_slope,) = torch.autograd.grad(oracle, logits, retain_graph=True)
        torch.testing.assert_close(slope, oracle_slope, atol=1e-11, rtol=1e-7)


def test_at_18_bits_loss_and_norm_are_those_of_the_sum_over_all_codes() -> None:
    logits = (torch.randn(6, 18, dtype=torch.float64) * 2).requires_grad_()
    oracle = entropy_of(beliefs(logits).mean(0))
    ours = batch_entropy(logits)
    torch.testing.assert_close(ours, oracle, atol=1e-9, rtol=1e-9)
    slopes = [torch.autograd.grad(value, logits)[0].norm() for value in (ours, oracle)]
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("bits", [5, 10])
def test_float32_is_near_float64(bits: int) -> None:
    logits = torch.randn(320, bits) * 5
    torch.testing.assert_close(batch_entropy(logits).double(), batch_entropy(logits.double()), atol=1e-4, rtol=1e-4)


def test_working_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(100, 9, dtype=torch.float64, requires_grad=True)
    whole = batch_entropy(logits)
    (slope,) = torch.autograd.grad(whole, logits)
    monkeypatch.setattr(entropy, "CHUNK_SIZE", 7 << 5)
    in_chunks = batch_entropy(logits)
    torch.testing.assert_close(in_chunks, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(in_chunks, logits)[0], slope, atol=1e-14, rtol=0)


def test_certain_bits_have_finite_gradients_and_no_entropy() -> None:
    logits = torch.full((5, 8), 400.0, requires_grad=True)
    total = batch_entropy(logits) + sample_entropy(logits)
    total.backward()
    assert total.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_undecided_bits_have_all_the_entropy_there_is() -> None:
    logits = torch.zeros(3, 11)
    for value in (sample_entropy(logits), batch_entropy(logits)):
        assert float(value) == pytest.approx(11 * math.log(2), rel=1e-6)


def test_bits_of_a_number_come_lowest_first() -> None:
    numbers = torch.randint(0, 2**62, (50,))
    bits = bits_of(numbers, 62)
    assert ((bits == 0) | (bits == 1)).all()
    assert torch.equal((bits << torch.arange(62)).sum(-1), numbers)


@pytest.mark.parametrize("bits", [0, 25])
def test_more_than_memory_holds_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"^{bits} "):
        batch_entropy(torch.zeros(2, bits))
