"""Distils a prior: a student learns to make latent frames in one or two proposals, from a teacher that needs many.

Two networks are trained: the student, and a critic that models the student's latent frames. See `prior.distillation`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.control import absent_like
from interfaces.prior import DrawSettings
from prior.attention import Kernel
from prior.distillation import divergence, matching_gradient, share_of_steps_done, surrogate_loss
from prior.heads.base import Head
from prior.kinds import make_prior
from prior.model import PriorBatch
from prior.network import PriorNetwork
from sampling.config import SamplerConfig
from sampling.schedule import RAMPS
from videogen.conditioning import Conditioner
from videogen.errors import UsageError
from videogen.models import PriorModel, TokenizerModel, sampler_of
from videogen.training.loop.monitor import MonitoredMetric
from videogen.training.loop.stage import Distributed, LossOutput, TrainedModule
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import DistillationConfig, PriorTrainingConfig
from videogen.training.prior.few_proposals import mean_over, steps_revealed
from videogen.training.prior.init_weights import open_prior
from videogen.training.prior.stage import PRIOR, VALIDATION_BATCH, PriorStage

CRITIC = "critic"
VALIDATION_SEED = 0


class TorchRNG:
    """Random numbers of torch's generator, which every step of a training seeds; implements `TokenRNG`."""

    def __init__(self, like: Tensor):
        self.shape, self.device = like.shape[:2], like.device

    def uniforms(self, count: int) -> Tensor:
        return torch.rand(*self.shape, count, dtype=torch.float64, device=self.device).clamp_min(1e-12)

    def normals(self, count: int) -> Tensor:
        return torch.randn(*self.shape, count, dtype=torch.float64, device=self.device)


class StudentFrames(NamedTuple):
    """What the student makes of a batch: its codes, and the features of each step with the tokens that it revealed."""

    codes: Tensor  # [B, T, N, K]
    features: list[Tensor]  # [B, T, N, C] of each step
    revealed: list[Tensor]  # bool [N] of each step


class DistillationStage(PriorStage):
    """The `Stage` of a student and its critic; validation is the cost of the student's frames under the teacher."""

    def __init__(
        self,
        config: PriorTrainingConfig,
        token_batches: TokenBatches,
        tokenizer: TokenizerModel,
        conditioner: Conditioner | None,
    ):
        assert config.distillation is not None
        super().__init__(config, token_batches, tokenizer, conditioner)
        self.distillation: DistillationConfig = config.distillation
        self.steps_revealed = steps_revealed(token_batches.spec, config.distillation.proposals)
        model = open_teacher(config.distillation, self.network, tokenizer)
        self.teacher = model.network.requires_grad_(False).eval()
        self.guidance = sampler_of(model) if config.distillation.guidance else SamplerConfig()
        self.critic = make_prior(model.config)
        optimizer = config.distillation.critic_optimizer or config.optimizer
        weights = self.teacher.state_dict
        self.trained_modules[CRITIC] = TrainedModule(self.critic, optimizer, averaged=False, init_weights=weights)
        self.monitored = MonitoredMetric("teacher_nats", "divergence", lower_is_better=True)

    def losses(self, batch: TokenBatch, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        if distributed.world_size > 1:
            raise UsageError("distillation trains in one process")
        inputs = self.with_rollouts(batch, step, distributed)
        student = self.student_frames(inputs)
        again = inputs._replace(targets=student.codes, mask_noise=None)
        assert inputs.known is not None
        asked_BTN = batch.predicted.to(distributed.device)
        critic: Head = self.critic.head
        critic_features = self.critic.features(again, self.config.kernel, self.config.recompute)
        costs = critic.losses(critic_features, student.codes).loss
        yield LossOutput(CRITIC, mean_over(costs, asked_BTN), {"critic_nats": mean_over(costs.detach(), asked_BTN)})
        with torch.no_grad():
            both = critic.readings(critic_features, student.codes), self.teacher_readings(again)
            pairs = [
                (critic_V.log_softmax(-1), teacher_V.log_softmax(-1)) for critic_V, teacher_V in zip(*both, strict=True)
            ]
            gradients = [matching_gradient(*pair, self.distillation.reverse) for pair in pairs]
            apart = torch.stack([divergence(*pair) for pair in pairs]).sum(0)
        head: Head = self.network.head
        total = torch.zeros_like(apart)
        for features, revealed_N in zip(student.features, student.revealed, strict=True):
            logits = head.readings(features, student.codes)
            costs = torch.stack([surrogate_loss(*pair) for pair in zip(logits, gradients, strict=True)]).sum(0)
            total = total + costs * revealed_N.to(costs)
        yield LossOutput(PRIOR, mean_over(total, asked_BTN), {"divergence": mean_over(apart, asked_BTN)})

    def student_frames(self, inputs: PriorBatch) -> StudentFrames:
        """All latent frames of a batch at once, each from the given history, with gradients."""
        codes = torch.zeros_like(inputs.targets)
        known_BTN = torch.zeros(codes.shape[:3], dtype=torch.bool, device=codes.device)
        head, features = self.network.head, []
        for revealed_N in self.steps_revealed:
            batch = inputs._replace(targets=codes, known=known_BTN)
            features.append(self.network.features(batch, self.config.kernel, self.config.recompute))
            rows = features[-1].detach().flatten(1, 2)
            with torch.no_grad():
                drawn, _ = head.sample(rows, DrawSettings(score="none"), TorchRNG(rows))
            here_BTN = revealed_N.to(codes.device) & ~known_BTN
            codes = torch.where(here_BTN.unsqueeze(-1), drawn.view_as(codes), codes)
            known_BTN = known_BTN | here_BTN
        return StudentFrames(codes, features, self.steps_revealed)

    def teacher_readings(self, batch: PriorBatch) -> list[Tensor]:
        """The teacher's logits of each code, with the guidance that it is sampled with."""
        self.teacher.to(batch.targets.device)
        logits, second = readings(self.teacher, batch, self.config.kernel), second_stream(batch, self.guidance)
        if second is None:
            return logits
        assert batch.known is not None
        done_BT = share_of_steps_done((~batch.known).float().mean(-1))
        scales_BT = done_BT.cpu().apply_(lambda done: scale_after(done, self.guidance)).to(done_BT)
        without = readings(self.teacher, second, self.config.kernel)
        return [other + scales_BT[..., None, None] * (own - other) for own, other in zip(logits, without, strict=True)]

    @torch.no_grad()
    def validate(self, distributed: Distributed) -> dict[str, float]:
        """The mean cost of a token under the teacher: of the student's frames, and of true ones."""
        device, spec = distributed.device, self.token_batches.held_out.spec
        self.teacher.to(device)
        codes, control = self.validation_codes, self.validation_control
        known = torch.rand(codes.shape[:3], generator=torch.Generator().manual_seed(VALIDATION_SEED)) < 0.5
        costs, count = [0.0, 0.0], int((~known).sum())
        for start in range(0, len(codes), VALIDATION_BATCH):
            rows = slice(start, start + VALIDATION_BATCH)
            own, seen = codes[rows].to(device), known[rows].to(device)
            text = self.text(self.validation_captions[rows], device)
            given = None if control is None else control[rows].to(device)
            inputs = PriorBatch(own, own, seen, text, torch.zeros(len(own), device=device), spec, given)
            student = self.student_frames(self.with_mask_noise(inputs))
            for number, made in enumerate((student.codes, own)):
                nats = self.teacher(inputs._replace(targets=made), self.config.kernel).nats
                costs[number] += (nats * ~seen).sum().item()
        return {"teacher_nats": costs[0] / count, "teacher_nats_of_true_frames": costs[1] / count}


def open_teacher(config: DistillationConfig, student: PriorNetwork, tokenizer: TokenizerModel) -> PriorModel:
    """UsageError for a teacher of other tokens, with another kind of head, or another size of the vocabulary."""
    model = open_prior(config.teacher)
    own, other = student.config, model.config
    if model.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UsageError(f"distillation.teacher names {config.teacher}, a prior for the tokens of another tokenizer")
    for name in ("objective", "context", "control"):
        if getattr(own, name) != getattr(other, name):
            said = f"{name} is {getattr(other, name)}; this configuration has {getattr(own, name)}"
            raise UsageError(f"distillation.teacher names {config.teacher}, whose {said}")
    if own.head.kind != other.head.kind:
        said = f"head is {other.head.kind}; this configuration has {own.head.kind}"
        raise UsageError(f"distillation.teacher names {config.teacher}, whose {said}")
    return model


def second_stream(batch: PriorBatch, sampler: SamplerConfig) -> PriorBatch | None:
    """What guidance moves away from: the batch without text, without control or without both; None: no guidance."""
    text, control = batch.text, batch.control
    if text is not None and sampler.drops_text:
        text = text.without(torch.ones(len(batch.targets), dtype=torch.bool, device=batch.targets.device))
    if control is not None and sampler.drops_control:
        control = absent_like(control)
    alike = text is batch.text and control is batch.control
    return None if alike or not sampler.guided else batch._replace(text=text, control=control)


def scale_after(done: float, sampler: SamplerConfig) -> float:
    """The scale of guidance after this share of the steps of a frame."""
    if not sampler.guidance_start <= done <= sampler.guidance_end:
        return 1.0
    return 1 + (sampler.guidance_scale - 1) * RAMPS[sampler.guidance_schedule](done)


def readings(network: PriorNetwork, batch: PriorBatch, kernel: Kernel) -> list[Tensor]:
    """The logits [B, T, N, V] of each code, given the known tokens of each frame and the codes before it."""
    head: Head = network.head
    return head.readings(network.features(batch, kernel), batch.targets)
