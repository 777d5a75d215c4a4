import copy

import pytest
import torch

from tokenizer.losses.adversarial import (
    AdversarialConfig,
    LeCam,
    accuracy,
    adaptive_weight,
    gan_discriminator_loss,
    gan_generator_loss,
    is_active,
    ramp,
)
from tokenizer.losses.discriminator import DiscriminatorConfig


def config(**changes):
    numbers = {"weight": 0.5, "start_step": 10, "ramp_steps": 4, "adaptive_bound": 100.0}
    numbers |= {"lecam_weight": 0.1, "lecam_decay": 0.9} | changes
    return AdversarialConfig(loss="hinge", discriminator=DiscriminatorConfig((4,), 0), **numbers)


def logits(seed, batch=2):
    return torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2


def test_losses_are_their_formulas():
    real, fake = logits(1).double(), logits(2).double()
    zero = torch.zeros(())
    hinge = (torch.maximum(1 - real, zero) + torch.maximum(1 + fake, zero)).mean((1, 2, 3))
    torch.testing.assert_close(gan_discriminator_loss("hinge", real, fake), hinge)
    torch.testing.assert_close(gan_generator_loss("hinge", fake), -fake.mean((1, 2, 3)))
    cross_entropy = -(torch.sigmoid(real).log() + (1 - torch.sigmoid(fake)).log()).mean((1, 2, 3))
    torch.testing.assert_close(gan_discriminator_loss("non_saturating", real, fake), cross_entropy)
    torch.testing.assert_close(gan_generator_loss("non_saturating", fake), -torch.sigmoid(fake).log().mean((1, 2, 3)))


@pytest.mark.parametrize("kind", ["hinge", "non_saturating"])
def test_the_two_sides_pull_the_fake_logits_in_opposite_directions(kind):
    fake = (logits(1) * 0.1).requires_grad_()
    (fooling,) = torch.autograd.grad(gan_generator_loss(kind, fake).sum(), fake)
    (judging,) = torch.autograd.grad(gan_discriminator_loss(kind, logits(2), fake).sum(), fake)
    assert (fooling < 0).all()
    assert (judging > 0).all()


def test_extreme_logits_stay_finite():
    far = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    for loss in (gan_generator_loss("non_saturating", far), gan_discriminator_loss("non_saturating", far, far)):
        (gradient,) = torch.autograd.grad(loss.sum(), far)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


def test_accuracy_counts_both_sides_alike():
    right, wrong = torch.ones(1, 2, 2, 2), -torch.ones(1, 9)
    assert float(accuracy(right, -right)) == 1
    assert float(accuracy(right, -wrong)) == 0.5
    assert float(accuracy(-right, -wrong)) == 0


def test_the_weight_ramps_up_from_the_start_step():
    begins = config(start_step=10, ramp_steps=4)
    assert [is_active(begins, step) for step in (0, 9, 10, 99)] == [False, False, True, True]
    assert [ramp(begins, step) for step in (0, 9, 10, 11, 12, 13, 14, 999)] == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert [ramp(config(start_step=0, ramp_steps=0), step) for step in (0, 1)] == [1, 1]


def test_the_adaptive_weight_makes_both_gradients_equally_long():
    layer, x = torch.randn(5, 3, requires_grad=True), torch.randn(7, 5)
    y = x @ layer
    reconstruction, adversarial = (y - 1).square().mean(), -0.01 * y.sum()
    weight = adaptive_weight(reconstruction, adversarial, layer, bound=1e6)
    (wanted,) = torch.autograd.grad(reconstruction, layer, retain_graph=True)
    (given,) = torch.autograd.grad(weight * adversarial, layer, retain_graph=True)
    torch.testing.assert_close(given.norm(), wanted.norm())
    assert not weight.requires_grad
    assert float(adaptive_weight(reconstruction, adversarial, layer, bound=0.25)) == 0.25
    reconstruction.backward()  # the graph is still there
    assert layer.grad is not None


def test_the_adaptive_weight_of_no_gradient_is_the_bound_and_for_no_gradient_zero():
    layer = torch.ones(3, requires_grad=True)
    some, none = layer.sum(), (layer * 0).sum()
    assert float(adaptive_weight(some, none, layer, bound=7.0)) == 7
    assert float(adaptive_weight(none, some, layer, bound=7.0)) == 0


def test_the_adaptive_weight_is_agreed_on_by_all_processes():
    layer = torch.ones(4, requires_grad=True)
    weight = adaptive_weight(3 * layer.sum(), layer.sum(), layer, 100.0, lambda norms: norms * torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(weight, torch.tensor(6.0))


def test_lecam_averages_first_all_alike_and_then_with_its_decay():
    lecam, real, fake = LeCam(decay=0.75), [], []
    for seed in range(9):
        lecam.update(logits(seed), logits(100 + seed))
        real.append(float(logits(seed).mean()))
        fake.append(float(logits(100 + seed).mean()))
        if seed == 3:
            torch.testing.assert_close(lecam.averages, torch.tensor([sum(real), sum(fake)]) / 4)
            expected = list(lecam.averages.tolist())
        elif seed > 3:
            expected = [0.75 * old + 0.25 * new for old, new in zip(expected, (real[-1], fake[-1]), strict=True)]
            torch.testing.assert_close(lecam.averages, torch.tensor(expected))


def test_lecam_pulls_logits_towards_the_average_of_the_other_kind():
    lecam = LeCam(decay=0.9)
    lecam.update(torch.full((1, 4), 3.0), torch.full((1, 4), -2.0))
    real, fake = torch.tensor([[1.0, -5.0]], requires_grad=True), torch.tensor([[1.0, 4.0]], requires_grad=True)
    penalty = lecam.penalty(real, fake)
    torch.testing.assert_close(penalty, torch.tensor([(9.0 + 0) / 2 + (4.0 + 0) / 2]))
    to_real, to_fake = torch.autograd.grad(penalty.sum(), (real, fake))
    assert to_real.tolist() == [[3.0, 0.0]]
    assert to_fake.tolist() == [[-2.0, 0.0]]
    assert not lecam.averages.requires_grad


def test_lecam_resumes_to_the_bit():
    whole = LeCam(decay=0.9)
    for seed in range(7):
        whole.update(logits(seed), logits(50 + seed))
        if seed == 3:
            saved = copy.deepcopy(whole.state_dict())
    resumed = LeCam(decay=0.9)
    resumed.load_state_dict(saved)
    for seed in range(4, 7):
        resumed.update(logits(seed), logits(50 + seed))
    assert set(saved) == {"averages", "updates"}
    assert torch.equal(resumed.averages, whole.averages)
    assert torch.equal(resumed.updates, whole.updates)


def test_lecam_skips_logits_that_are_not_finite():
    lecam, same = LeCam(decay=0.9), LeCam(decay=0.9)
    for critic in (lecam, same):
        critic.update(logits(1), logits(2))
    lecam.update(logits(3) / 0, logits(4))
    for critic in (lecam, same):
        critic.update(logits(5), logits(6))
    assert torch.equal(lecam.averages, same.averages)
    assert int(lecam.updates) == 2


def test_lecam_of_two_processes_is_that_of_their_whole_batch():
    def over_both(means):
        seen.append(means)
        return sum(seen) / len(seen)

    whole, one, seen = LeCam(decay=0.9), LeCam(decay=0.9), []
    real, fake = logits(1, batch=4), logits(2, batch=4)
    whole.update(real, fake)
    LeCam(decay=0.9).update(real[:2], fake[:2], over_both)
    one.update(real[2:], fake[2:], over_both)
    torch.testing.assert_close(one.averages, whole.averages)


def test_the_loss_of_half_precision_logits_is_float32():
    real, fake = logits(1).bfloat16(), logits(2).bfloat16()
    assert gan_discriminator_loss("hinge", real, fake).dtype == torch.float32
    assert torch.equal(gan_generator_loss("non_saturating", fake), gan_generator_loss("non_saturating", fake.float()))


@pytest.mark.parametrize(
    ("name", "value"),
    [("weight", -1.0), ("start_step", -1), ("ramp_steps", -1), ("adaptive_bound", 0.0), ("lecam_decay", 1.0)],
)
def test_configs_refuse_what_makes_no_sense(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        config(**{name: value})


def test_lecam_takes_logits_of_any_device():
    lecam = LeCam(decay=0.9).to("meta")  # stands for a GPU: mixing it with the CPU is an error there too
    lecam.update(torch.ones(2, 4), torch.zeros(2, 4))
    assert lecam.averages.device.type == "meta"
