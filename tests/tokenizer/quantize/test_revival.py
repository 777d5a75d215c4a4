"""First codes that are found in latents, and dead codes that come back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tokenizer.quantize.revival import Revival, Reviver
from tokenizer.quantize.vq import VQ, VQConfig

SIZE, DIM = 32, 4
FAR = 20.0


def latents_of(step: int) -> Tensor:
    return torch.randn(128, DIM, generator=torch.Generator().manual_seed(step))


def trained(config: VQConfig, steps: int = 60) -> tuple[VQ, list[int], list[Tensor]]:
    """The quantizer, how many codes each step used, and which codes were replaced. At first all codes are far away."""
    torch.manual_seed(0)
    quantizer, used, replaced = VQ(config), [], []
    with torch.no_grad():
        quantizer.codebook[1:] += FAR
    quantizer.begin_training()
    for step in range(steps):
        quantizer.set_step(step)
        out = quantizer.quantize(latents_of(step))
        used.append(len(out.codes.unique()))
        if out.statistics or out.samples:
            replaced.append(quantizer.update({**out.statistics, **out.samples})["codebook"].clone())
    return quantizer, used, replaced


@pytest.mark.parametrize("learning", ["gradient", "ema"])
def test_without_revival_far_codes_stay_dead(learning: str) -> None:
    _, used, _ = trained(VQConfig(SIZE, DIM, learning=learning))  # type: ignore[arg-type]
    assert used[-1] == 1


@pytest.mark.parametrize("source", ["random", "worst", "split", "reservoir"])
@pytest.mark.parametrize("dead_by", ["count", "unused", "perplexity"])
def test_dead_codes_come_back(source: str, dead_by: str) -> None:
    threshold = {"count": 0.1, "unused": 4.0, "perplexity": 0.9}[dead_by]
    revival = Revival(dead_by, threshold, source, every=5, decay=0.8, reservoir=100)  # type: ignore[arg-type]
    quantizer, used, replaced = trained(VQConfig(SIZE, DIM, decay=0.9, revival=revival))
    assert used[-1] > 0.8 * SIZE
    assert next(step for step, codes in enumerate(replaced) if codes.any()) % 5 == 4
    assert len(quantizer.codebook.unique(dim=0)) == SIZE


@pytest.mark.parametrize("source", ["random", "worst"])
def test_codes_learned_by_gradient_come_back_too(source: str) -> None:
    revival = Revival(source=source, every=5, decay=0.8)  # type: ignore[arg-type]
    quantizer, used, _ = trained(VQConfig(SIZE, DIM, learning="gradient", revival=revival))
    assert used[-1] > 0.6 * SIZE
    assert isinstance(quantizer.codebook, torch.nn.Parameter)


def test_codes_in_use_are_left_alone() -> None:
    reviver = Reviver(Revival(every=1, decay=0.5), 4, DIM)
    codes, latents = torch.randn(4, DIM), torch.randn(50, DIM)
    counts = torch.tensor([10.0, 0.0, 30.0, 0.0])
    for step in range(6):
        places, new = reviver.update(codes, {"counts": counts, "latents": latents}, step)
        assert torch.equal(places[~new], codes[~new])
        assert new.tolist() in ([False] * 4, [False, True, False, True])
        if new.any():
            assert step == 3, "0.5 ^ 4 is the first below a tenth"
            break
    else:
        pytest.fail("no code was revived")
    near = torch.cdist(places[new], latents).min(1).values
    assert near.max() < 0.2


def test_the_worst_latents_are_taken_first() -> None:
    reviver = Reviver(Revival(dead_by="unused", threshold=1, source="worst", every=1), 3, DIM)
    latents = torch.arange(5.0)[:, None] * torch.ones(DIM)
    statistics = {"counts": torch.tensor([5.0, 0, 0]), "latents": latents, "errors": torch.tensor([0.0, 4, 1, 9, 2])}
    places, new = reviver.update(torch.zeros(3, DIM), statistics, 0)
    assert new.tolist() == [False, True, True]
    torch.testing.assert_close(places[1:], latents[[3, 1]], atol=0.1, rtol=0)


def test_a_split_shares_the_use_of_the_popular_code() -> None:
    reviver = Reviver(Revival(dead_by="unused", threshold=1, source="split", every=1, decay=0.0), 4, DIM)
    codes = torch.eye(4)
    places, new = reviver.update(codes, {"counts": torch.tensor([0.0, 6.0, 3.0, 1.0])}, 0)
    assert new.tolist() == [True, False, False, False]
    torch.testing.assert_close(places[0], codes[1], atol=0.05, rtol=0)
    torch.testing.assert_close(reviver.usage, torch.tensor([0.3, 0.3, 0.3, 0.1]))


def test_there_are_never_more_revivals_than_latents() -> None:
    reviver = Reviver(Revival(dead_by="unused", threshold=1, every=1), 8, DIM)
    statistics = {"counts": torch.tensor([3.0] + [0.0] * 7), "latents": torch.randn(3, DIM)}
    _, new = reviver.update(torch.randn(8, DIM), statistics, 0)
    assert new.sum() == 3


def test_a_reservoir_holds_every_latent_with_the_same_probability() -> None:
    held = torch.zeros(300)
    for trial in range(200):
        reviver = Reviver(Revival(source="reservoir", reservoir=30, every=10**6), 2, 1)
        for step in range(10):
            numbers = torch.arange(30.0)[:, None] + 30 * step
            reviver.update(torch.zeros(2, 1), {"counts": torch.ones(2), "latents": numbers}, trial * 1000 + step)
        held[reviver.reservoir[:, 0].long()] += 1
    assert reviver.seen == 300
    early, late = held[:150].sum(), held[150:].sum()
    assert 0.9 < early / late < 1.1
    assert (held > 0).all()


def test_kmeans_waits_for_its_samples() -> None:
    quantizer, used, replaced = trained(VQConfig(SIZE, DIM, first="kmeans", first_samples=300), steps=5)
    assert [bool(codes.all()) for codes in replaced] == [False, False, True, False, False]
    assert used[:3] == [1, 1, 1]
    assert min(used[3:]) > 0.75 * SIZE
    assert quantizer.learning is not None
    assert quantizer.learning.first is not None
    assert quantizer.learning.first.is_ready


def test_kmeans_sees_latents_from_everywhere_in_a_step_that_has_more_than_it_needs() -> None:
    quantizer = VQ(VQConfig(SIZE, 2, first="kmeans"))
    quantizer.begin_training()
    latents = torch.randn(40 * 4 * SIZE, 2, generator=torch.Generator().manual_seed(0))
    quantizer.set_step(0)
    out = quantizer.quantize(latents)
    assert quantizer.update({**out.statistics, **out.samples})["codebook"].all()
    assert quantizer.codebook.mean(0).abs().max() < 0.5
    found = quantizer.quantize(latents)
    torch.testing.assert_close(found.latents.std(0), latents.std(0), atol=0.2, rtol=0)


def test_online_codes_are_placed_a_few_a_step() -> None:
    _, used, replaced = trained(VQConfig(SIZE, DIM, first="online"), steps=18)
    assert [int(codes.sum()) for codes in replaced] == [2] * 16 + [0, 0]
    assert torch.stack(replaced).sum(0).eq(1).all(), "each code once"
    assert used[:3] == sorted(used[:3])
    assert used[-1] > 0.7 * SIZE


@pytest.mark.parametrize("first", ["kmeans", "online"])
def test_equal_latents_make_different_codes(first: str) -> None:
    quantizer = VQ(VQConfig(SIZE, DIM, first=first))  # type: ignore[arg-type]
    quantizer.begin_training()
    for step in range(20):
        quantizer.set_step(step)
        out = quantizer.quantize(torch.ones(200, DIM))
        quantizer.update({**out.statistics, **out.samples})
    assert len(quantizer.codebook.unique(dim=0)) == SIZE


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 0), ("threshold", 1.5), ("decay", 1), ("every", 0), ("reservoir", 0)]
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} = "):
        replace(Revival(), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"revival": Revival()}, {"first": "online"}])
def test_frozen_codes_cannot_be_moved(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} "):
        VQConfig(SIZE, DIM, learning="frozen", **wrong)  # type: ignore[arg-type]
