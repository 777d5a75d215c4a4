import pytest
import torch

from tests.tokenizer.models import noise_clip
from tokenizer.losses.adversarial import AdversarialConfig, LeCam
from tokenizer.losses.discriminator import Discriminator, DiscriminatorConfig
from tokenizer.losses.objective import LossConfig, adversarial_loss, discriminator_loss, l1, l2, reconstruction_loss
from tokenizer.losses.perceptual import MultiscaleStructure, MultiscaleStructureConfig

STRUCTURE = MultiscaleStructureConfig("multiscale_structure", weight=0.3)
GAME = AdversarialConfig(
    loss="hinge",
    weight=0.5,
    start_step=2,
    ramp_steps=4,
    adaptive_bound=10.0,
    lecam_weight=0.1,
    lecam_decay=0.9,
    discriminator=DiscriminatorConfig((4, 8), 1),
)


def test_l1_and_l2_are_means_of_each_clip():
    x, y = noise_clip(2, 3, 8, 8, seed=1), noise_clip(2, 3, 8, 8, seed=2)
    torch.testing.assert_close(l1(x, y), torch.stack([(a - b).abs().mean() for a, b in zip(x, y, strict=True)]))
    torch.testing.assert_close(l2(x, y), torch.stack([((a - b) ** 2).mean() for a, b in zip(x, y, strict=True)]))
    assert l2(x.bfloat16(), y).dtype == torch.float32


def test_the_total_is_the_weighted_sum_of_the_named_terms():
    x, y = noise_clip(2, 3, 16, 16, seed=1).requires_grad_(), noise_clip(2, 3, 16, 16, seed=2)
    config = LossConfig(l1=1.0, l2=0.7, perceptual=STRUCTURE, adversarial=None)
    loss = reconstruction_loss(config, MultiscaleStructure(STRUCTURE), x, y, step=0)
    assert set(loss.terms) == {"l1", "l2", "multiscale_structure"}
    expected = loss.terms["l1"] + 0.7 * loss.terms["l2"] + 0.3 * loss.terms["multiscale_structure"]
    torch.testing.assert_close(loss.total.detach(), expected)
    assert loss.total.requires_grad
    assert not any(term.requires_grad for term in loss.terms.values())


def test_equal_clips_cost_nothing_and_no_perceptual_loss_is_no_term():
    x = noise_clip(1, 2, 16, 16)
    loss = reconstruction_loss(LossConfig(1.0, 1.0, None, None), None, x, x, step=0)
    assert set(loss.terms) == {"l1", "l2"}
    assert float(loss.total) == 0


def test_before_its_start_the_game_has_no_weight_and_after_it_the_adaptive_one():
    clip = noise_clip(1, 2, 8, 8)
    reconstruction = (clip * 0.9).requires_grad_()
    total = l2(reconstruction, clip).mean()
    fake_logits = reconstruction.mean(1)
    losses = [adversarial_loss(GAME, fake_logits, total, reconstruction, step) for step in (1, 2, 5, 50)]
    weights = [float(loss.terms["adversarial_weight"]) for loss in losses]
    assert weights[0] == 0
    assert weights[1] == pytest.approx(weights[3] / 4)
    assert weights[2] == weights[3]
    (pull,) = torch.autograd.grad(total, reconstruction, retain_graph=True)
    (push,) = torch.autograd.grad(losses[3].total, reconstruction)
    torch.testing.assert_close(push.norm(), 0.5 * pull.norm())


def test_without_a_bound_the_adversarial_weight_is_fixed():
    fixed = AdversarialConfig("non_saturating", 0.2, 0, 0, None, 0.0, 0.9, DiscriminatorConfig((4,), 0))
    fake = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = adversarial_loss(fixed, fake, fake.sum(), fake, step=0)
    assert float(loss.total.detach()) == pytest.approx(0.2 * 0.693147, rel=1e-5)
    assert float(loss.terms["adversarial"]) == pytest.approx(0.693147, rel=1e-5)


def test_the_discriminators_total_is_judging_and_lecam():
    lecam = LeCam(GAME.lecam_decay)
    lecam.update(torch.ones(1, 4), -torch.ones(1, 4))
    real, fake = torch.full((2, 3), 0.5, requires_grad=True), torch.full((2, 3), 0.25, requires_grad=True)
    loss = discriminator_loss(GAME, lecam, real, fake)
    assert {name: float(term) for name, term in loss.terms.items()} == {
        "discriminator": 0.5 + 1.25,
        "lecam": 1.5**2 + 0.75**2,
        "discriminator_accuracy": 0.5,
        "discriminator_real": 0.5,
        "discriminator_fake": 0.25,
    }
    assert float(loss.total.detach()) == pytest.approx(1.75 + 0.1 * (1.5**2 + 0.75**2))


@pytest.mark.parametrize("kind", ["hinge", "non_saturating"])
def test_a_discriminator_learns_to_tell_noise_from_flat_frames_and_a_clip_learns_to_fool_it(kind):
    torch.manual_seed(0)
    game = AdversarialConfig(kind, 1.0, 0, 0, None, 0.01, 0.9, GAME.discriminator)
    critic, lecam = Discriminator(game.discriminator), LeCam(0.9)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for step in range(20):
        real, fake = (
            critic(noise_clip(4, 3, 8, 8, seed=step)),
            critic(torch.rand(4, 3, 1, 1, 1).expand(-1, -1, 3, 8, 8)),
        )
        loss = discriminator_loss(game, lecam, real, fake)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        lecam.update(real, fake)
    assert float(loss.terms["discriminator_accuracy"]) > 0.95
    clip = torch.zeros(1, 3, 3, 8, 8, requires_grad=True)
    before = adversarial_loss(game, critic(clip), clip.sum(), clip, step=0)
    (push,) = torch.autograd.grad(before.total, clip)
    after = adversarial_loss(game, critic(clip - 0.5 * push / push.norm()), clip.sum(), clip, step=0)
    assert after.terms["adversarial"] < before.terms["adversarial"]


def test_configs_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="l2 = -1"):
        LossConfig(1.0, -1.0, None, None)
    with pytest.raises(ValueError, match="l1 and l2"):
        LossConfig(0.0, 0.0, STRUCTURE, None)
