"""Trains a prior to need few proposals a latent frame, with a posterior of its mask noise; see `prior.posterior`."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.config import PriorConfig
from prior.model import LlamaPrior, PriorBatch
from prior.posterior import NoiseDistribution, NoisePosterior, noise_directions
from videogen.conditioning import Conditioner
from videogen.models import TokenizerModel
from videogen.training.loop.monitor import MonitoredMetric
from videogen.training.loop.stage import Distributed, LossOutput, TrainedModule
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import PriorTrainingConfig, VariationalConfig
from videogen.training.prior.few_proposals import mean_over, steps_revealed
from videogen.training.prior.init_weights import MASK_NOISE
from videogen.training.prior.stage import PRIOR, VALIDATION_BATCH, PriorStage, some_tokens

POSTERIOR = "posterior"
Weights = dict[str, Tensor]


class VariationalStage(PriorStage):
    """The `Stage` of a prior and the posterior of its mask noise; validation is the bound of both."""

    def __init__(
        self,
        config: PriorTrainingConfig,
        token_batches: TokenBatches,
        tokenizer: TokenizerModel,
        conditioner: Conditioner | None,
    ):
        assert config.variational is not None
        super().__init__(config, token_batches, tokenizer, conditioner)
        self.variational: VariationalConfig = config.variational
        self.revealed = steps_revealed(token_batches.spec, config.variational.proposals)
        own = self.network.config
        assert isinstance(own, PriorConfig)
        self.posterior = NoisePosterior(LlamaPrior(replace(own, mask_noise=0)), own.mask_noise)
        prior = self.trained_modules[PRIOR]
        self.first_prior = prior.init_weights or self.network.state_dict
        self.trained_modules[PRIOR] = replace(prior, init_weights=lambda: self.first_weights()[0])
        optimizer = config.variational.posterior_optimizer or config.optimizer
        weights = lambda: self.first_weights()[1]  # noqa: E731
        self.trained_modules[POSTERIOR] = TrainedModule(self.posterior, optimizer, init_weights=weights)
        self.monitored = MonitoredMetric("nats", "nats", lower_is_better=True)

    def first_weights(self) -> tuple[Weights, Weights]:
        """Of the prior and of the posterior: both begin as the same prior, and the noise as embeddings of tokens."""
        prior, posterior = dict(self.first_prior()), dict(self.posterior.state_dict())
        codes_MNK = some_tokens(self.token_batches.windows[0])
        tables = [prior[f"embedding.tables.{number}.weight"] for number in range(codes_MNK.shape[-1])]
        embedded = torch.stack([table[codes] for table, codes in zip(tables, codes_MNK.unbind(-1), strict=True)]).sum(0)
        directions = noise_directions(embedded.flatten(0, 1), self.network.mask_noise)
        posterior |= {f"network.{name}": value for name, value in prior.items() if f"network.{name}" in posterior}
        posterior |= {"of_token.weight": directions.noise_RC, "of_token.bias": directions.noise_bias_R}
        return {**prior, MASK_NOISE: directions.vectors_CR}, posterior

    def losses(self, batch: TokenBatch, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        """The gradient of the prior's loss by the noise is kept for the loss of the posterior, which made the noise."""
        inputs = self.with_rollouts(batch, step, distributed)
        noise: NoiseDistribution = distributed.modules[POSTERIOR](inputs, self.config.kernel, self.config.recompute)
        drawn = noise.sample()
        given = drawn.detach().requires_grad_()
        frame_counts = batch.predicted.to(distributed.device).any(-1, keepdim=True).expand(batch.predicted.shape)
        token_nats = mean_over(self.token_nats(inputs, given, distributed), frame_counts)
        yield LossOutput(PRIOR, token_nats, {"token_nats": token_nats.detach()})
        assert given.grad is not None
        noise_nats = mean_over(noise.nats(), frame_counts)
        weight = self.variational.noise_weight_at(step)
        passed_on = (drawn * given.grad).sum() * self.config.training.accumulation  # the loop divides both losses
        nats = {"noise_nats": noise_nats.detach(), "nats": (token_nats + noise_nats).detach()}
        yield LossOutput(POSTERIOR, weight * noise_nats + passed_on, nats)

    def token_nats(self, inputs: PriorBatch, noise: Tensor, distributed: Distributed) -> Tensor:
        """Each token where it is proposed, given the noise and the tokens of the proposals before: [B, T, N]."""
        shape, steps = inputs.targets.shape[:3], len(self.revealed)
        revealed = torch.stack(self.revealed).to(noise.device)
        known = (revealed.cumsum(0) - revealed.int()).bool()  # [steps, N]
        many = repeated(inputs, steps)._replace(
            known=known[:, None, None].expand(steps, *shape).flatten(0, 1),
            mask_noise=noise.repeat(steps, 1, 1, 1),
        )
        found = distributed.modules[PRIOR](many, self.config.kernel, 0.0, self.config.recompute)
        nats: Tensor = (found.loss.view(steps, *shape) * revealed[:, None, None]).sum(0)
        return nats

    @torch.no_grad()
    def validate(self, distributed: Distributed) -> dict[str, float]:
        """The bound of a token with one draw of noise, beside its cost where plain noise is given."""
        device, spec = distributed.device, self.token_batches.held_out.spec
        codes, control = self.validation_codes, self.validation_control
        sums, batches = torch.zeros(3, dtype=torch.float64), range(0, len(codes), VALIDATION_BATCH)
        for start in batches:
            rows = slice(start, start + VALIDATION_BATCH)
            own = codes[rows].to(device)
            text = self.text(self.validation_captions[rows], device)
            given = None if control is None else control[rows].to(device)
            inputs = true_frames(own, spec, text, given)
            noise: NoiseDistribution = distributed.modules[POSTERIOR](inputs, self.config.kernel)
            parts = (
                self.token_nats(inputs, noise.sample(), distributed),
                noise.nats(),
                self.token_nats(inputs, torch.randn_like(noise.mean), distributed),
            )
            sums += torch.stack([part.sum().double().cpu() for part in parts])
        token, of_noise, plain = (sums / codes[..., 0].numel()).tolist()
        return {"nats": token + of_noise, "token_nats": token, "noise_nats": of_noise, "nats_with_plain_noise": plain}


def true_frames(codes: Tensor, spec: TokenSpec, text: Text | None, control: Tensor | None) -> PriorBatch:
    known = torch.zeros(codes.shape[:3], dtype=torch.bool, device=codes.device)
    return PriorBatch(codes, codes, known, text, torch.zeros(len(codes), device=codes.device), spec, control)


def repeated(batch: PriorBatch, times: int) -> PriorBatch:
    """The clips of a batch several times over, one copy after the other."""
    rows = torch.arange(len(batch.targets), device=batch.targets.device).repeat(times)
    text = None if batch.text is None else batch.text.rows(rows)
    control = None if batch.control is None else batch.control[rows]
    return batch._replace(
        targets=batch.targets[rows], clean=batch.clean[rows], text=text, noise_B=batch.noise_B[rows], control=control
    )
