"""Stage two: the prior's losses, validation, samples and export."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.attention import Kernel, choose_kernel
from prior.captions import caption_targets
from prior.config import ContextConfig, ControlConfig, PriorConfig
from prior.heads.base import TokenLosses
from prior.kinds import AnyPriorConfig, make_prior
from prior.likelihood import frame_likelihoods
from prior.model import PriorBatch
from prior.network import PriorNetwork
from videogen.checkpoint import Content
from videogen.clip_spec import ClipSpec
from videogen.conditioning import Conditioner
from videogen.errors import UsageError
from videogen.evaluation.info.prior import format_memory
from videogen.evaluation.prior.caption_likelihood import CaptionLikelihoods, caption_likelihoods
from videogen.evaluation.prior.likelihood import Baseline, LikelihoodSums, figures, score_name
from videogen.models import TokenizerModel, count_parameters, prior_files
from videogen.tokens.description import describe_control
from videogen.tokens.windows import TokenWindows
from videogen.training.loop.monitor import MonitoredMetric
from videogen.training.loop.stage import Distributed, Json, LossOutput, Replaced, TrainedModule
from videogen.training.prior.batches import TokenBatch, TokenBatches
from videogen.training.prior.config import PriorTrainingConfig
from videogen.training.prior.init_weights import init_weights
from videogen.training.prior.samples import rollout_history, rollout_seeds, write_samples

T = TypeVar("T")
PRIOR = "prior"
VALIDATION_BATCH = 16
SAMPLE = 256  # clips that tell the scale of continuous tokens


class TokenKind(Protocol):
    """The tokens that a prior models; the description of a token set has these."""

    @property
    def spec(self) -> TokenSpec: ...

    @property
    def control(self) -> ControlConfig | None: ...


class PriorStage:
    """The `Stage` of a prior."""

    name = PRIOR
    extra_state: nn.Module | None = None

    def __init__(
        self,
        config: PriorTrainingConfig,
        token_batches: TokenBatches,
        tokenizer: TokenizerModel,
        conditioner: Conditioner | None,
    ):
        self.config, self.token_batches = config, token_batches
        self.tokenizer, self.conditioner = tokenizer, conditioner
        tokens = token_batches.windows[0].tokens.description
        self.network = make_network(config, tokens, make_context_config(conditioner))
        self.score = score_name(self.network.likelihood)
        self.monitored = MonitoredMetric(self.score, self.score, lower_is_better=True)
        if tokens.spec.continuous:
            self.network.head.prepare(some_tokens(token_batches.windows[0]))
        weights = init_weights(self.network, config)
        self.trained_modules = {PRIOR: TrainedModule(self.network, config.optimizer, init_weights=weights)}

    def batches(
        self, position: Json, step: int, accumulation: int, rank: int, world_size: int
    ) -> Generator[TokenBatch]:
        parts = accumulation, rank, world_size
        return prefetch(self.token_batches.batches(position, step, *parts, self.count_caption_tokens))

    def count_caption_tokens(self, captions: Sequence[str]) -> int:
        assert self.conditioner is not None
        return int(caption_targets(self.conditioner(captions)).counted.sum())

    def frozen(self, module: str, step: int) -> Callable[[str], bool]:
        return lambda name: False

    def losses(self, batch: TokenBatch, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        config, inputs = self.config, self.with_rollouts(batch, step, distributed)
        blocks, smoothing = self.network.block_mask_for(inputs, config.kernel), config.teaching.label_smoothing
        losses: TokenLosses = distributed.modules[PRIOR](inputs, config.kernel, smoothing, config.recompute, blocks)
        predicted = batch.predicted.to(distributed.device)
        loss, nats, right = ((each * predicted).sum() * batch.loss_scale for each in losses[:3])
        guessed = {"top_guess": right.float()} if self.network.likelihood else {}
        metrics = {self.score: nats.detach(), **guessed}
        if losses.caption is not None:
            assert inputs.caption is not None
            counted_BL = caption_targets(inputs.caption).counted & batch.captioned.to(distributed.device)[:, None]
            caption_loss, nats, right = ((each * counted_BL).sum() * batch.caption_scale for each in losses.caption[:3])
            loss = loss + config.teaching.caption_weight * caption_loss
            if batch.caption_scale:  # of all micro-batches of the step in all processes, or of none
                metrics |= {"caption_nats": nats.detach(), "caption_top_guess": right.float()}
        yield LossOutput(PRIOR, loss, metrics)

    def with_rollouts(self, batch: TokenBatch, step: int, distributed: Distributed) -> PriorBatch:
        """The inputs of the network; in some steps the history is what the prior makes of the first latent frame."""
        inputs, phase = self.inputs(batch, distributed.device), self.token_batches.phase(step)
        if not phase.rollout_share or not self.token_batches.is_rollout(step):
            return inputs
        refuse_sharded(distributed)
        seeds = rollout_seeds(batch.keys, self.config.training.seed, step)
        history = rollout_history(self.network, inputs, phase, seeds)
        return inputs._replace(clean=history, noise_B=torch.zeros_like(inputs.noise_B))

    def inputs(self, batch: TokenBatch, device: torch.device) -> PriorBatch:
        known, control = (None if each is None else each.to(device) for each in (batch.known, batch.control))
        text = self.text(batch.captions, device)
        inputs = PriorBatch(
            targets=batch.codes.to(device),
            clean=batch.clean.to(device),
            known=known,
            text=None if text is None else text.without(batch.drop_text.to(device)),
            noise_B=batch.noise.to(device),
            spec=self.token_batches.spec,
            control=control,
            caption=text if self.network.config.captions else None,
        )
        return self.with_mask_noise(inputs)

    def with_mask_noise(self, batch: PriorBatch) -> PriorBatch:
        """For a prior that is given random numbers at masked tokens; torch's generator is seeded in every step."""
        count = self.network.mask_noise
        if count == 0:
            return batch
        noise = torch.randn(*batch.targets.shape[:3], count, device=batch.targets.device)
        return batch._replace(mask_noise=noise)

    def text(self, captions: tuple[str, ...], device: torch.device) -> Text | None:
        return None if self.conditioner is None else self.conditioner(captions).to(device)

    def after_step(self, step: int, means: Mapping[str, float], distributed: Distributed) -> Replaced:
        return {}

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        """Fires if the prior is still worse than the frequencies of codes."""
        if "nats" not in means:
            return {}
        frequencies = self.baseline_nats.get("nats_of_frequencies", math.inf)
        worse = step > self.config.optimizer.warmup + 200 and means["nats"] > frequencies
        message = (
            f"{means['nats']:.2f} nats a token, while the frequencies of codes alone cost {frequencies:.2f}: "
            "lower the learning rate, or look at the tokens"
        )
        return {"worse than frequencies": message if worse else None}

    @cached_property
    def validation_codes(self) -> Tensor:
        """[B, T, N, K]"""
        return torch.stack([torch.from_numpy(window.codes) for window in self.token_batches.validation_windows()])

    @cached_property
    def validation_control(self) -> Tensor | None:
        controls = [window.control for window in self.token_batches.validation_windows() if window.control is not None]
        return torch.from_numpy(np.stack(controls)) if controls else None

    @cached_property
    def validation_captions(self) -> tuple[str, ...]:
        return tuple(window.caption for window in self.token_batches.validation_windows())

    @cached_property
    def baseline_nats(self) -> dict[str, float]:
        windows = self.token_batches.windows[-1]
        baseline = Baseline.of(windows.tokens, windows.rows.tolist())
        return {} if baseline is None else baseline.nats(self.validation_codes.numpy(), windows.spec)

    def validate(self, distributed: Distributed) -> dict[str, float]:
        """Metrics over all held-out clips, each counted once.

        All processes must run the network equally often, as sharded weights need every process, so a process that has
        run out of clips repeats some of them.
        """
        config, module = self.config, distributed.modules[PRIOR]

        def losses(batch: PriorBatch) -> TokenLosses:
            found: TokenLosses = module(batch, config.kernel, blocks=self.network.block_mask_for(batch, config.kernel))
            return found

        held_out = self.token_batches.held_out  # perhaps of another frame size
        codes, control, spec = self.validation_codes, self.validation_control, held_out.spec
        count, sums = len(codes), LikelihoodSums.none(codes.shape[1])
        caption_sums = CaptionLikelihoods.none()
        each, masked = -(-count // distributed.world_size), config.prior.objective == "masked"
        end = (distributed.rank + 1) * each
        for first in range(distributed.rank * each, end, VALIDATION_BATCH):
            numbers = range(first, min(first + VALIDATION_BATCH, end))
            rows = [number % count for number in numbers]
            text = self.text(tuple(self.validation_captions[row] for row in rows), distributed.device)
            given = None if control is None else control[rows].to(distributed.device)
            own = codes[rows].to(distributed.device)
            found = frame_likelihoods(losses, own, spec, masked, text, given, first)
            new = slice(max(0, min(len(numbers), count - first)))
            sums = sums.plus(found.of(new))
            if config.prior.captions:
                assert text is not None
                caption_sums = caption_sums.plus(caption_likelihoods(losses, own, spec, masked, text, given).of(new))
        sums = sums.over_processes(distributed.mean)
        clips = held_out.tokens.description.clips
        captions = caption_sums.over_processes(distributed.mean).figures() if config.prior.captions else {}
        pixels = clips.height * clips.width
        return {**figures(sums, spec, pixels, self.network.likelihood), **captions, **self.baseline_nats}

    def write_samples(self, distributed: Distributed, place: Path) -> None:
        """Videos of held-out captions, unless the weights are sharded."""
        if distributed.rank == 0 and not distributed.sharded:
            captions = self.validation_captions[:4]
            windows = self.token_batches.held_out
            write_samples(
                self.network, self.tokenizer, self.text(captions, distributed.device), captions, windows.spec,
                windows.frames, windows.tokens.description.clips.fps, place,
            )  # fmt: skip

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        windows = self.token_batches.windows[-1]
        encoded = windows.tokens.description.clips
        clips = ClipSpec(encoded.height, encoded.width, encoded.fps, windows.spec.video_frames(windows.frames))
        parts = self.tokenizer, self.network.config, clips, weights[PRIOR], self.conditioner
        return prior_files(*parts, self.card(), self.config.generation)

    def card(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.summary().items())
        made = f"Trained by `videogen train prior` on `{self.config.data.train.name}`."
        return f"# A tokenizer and a prior\n\n{made}\n\n{facts}\n"

    def summary(self) -> dict[str, str]:
        windows = self.token_batches.windows[-1]
        return describe_network(self.network, windows.tokens.description.clips.fps, self.config.kernel)


def some_tokens(windows: TokenWindows) -> Tensor:
    """Tokens [M, N, D] of clips that are spread over the set."""
    clips = [windows.opening(int(row)).codes for row in windows.spread(SAMPLE)]
    return torch.from_numpy(np.concatenate(clips))


def describe_network(network: PriorNetwork, fps: float, kernel: Kernel) -> dict[str, str]:
    """Facts about the prior and its latent frames, at this frame rate."""
    config, spec = network.config, network.spec
    text = "none" if config.context is None else f"{config.context.length} tokens a caption"
    attention = {}
    if isinstance(config, PriorConfig):
        on_cpu, on_gpu = (choose_kernel(kernel, torch.device(kind)) for kind in ("cpu", "cuda"))
        attention = {"attention in training": f"{on_cpu} on a CPU, {on_gpu} on a GPU"}
    groups = " then ".join(" x ".join(map(str, group.shape)) for group in spec.groups)
    return {
        "parameters": f"{count_parameters(network):,}",
        "to generate, in bfloat16": format_memory(config, count_parameters(network), "bfloat16"),
        "a token": describe_token(spec),
        "objective": {"masked": "masked frames", "autoregressive": "token after token"}[config.objective]
        + (", and captions" if config.captions else ""),
        "tokens a latent frame": f"{spec.tokens} ({groups})",
        "tokens a second of video": f"{spec.tokens * fps / spec.frames_per_latent:.0f}",
        "window": f"{config.window} latent frames, {config.window * spec.frames_per_latent / fps:.1f} s",
        "text": text,
        **({} if config.control is None else {"control": describe_control(config.control)}),
        **attention,
    }


def describe_token(spec: TokenSpec) -> str:
    if spec.continuous:
        return f"{spec.channels} numbers"
    return f"{spec.bits:.3g} bits, codebooks of {' x '.join(map(str, spec.codebooks))}"


def make_network(config: PriorTrainingConfig, tokens: TokenKind, context: ContextConfig | None) -> PriorNetwork:
    """The prior with random weights; UsageError for a head that there is not, or that cannot draw these tokens."""
    try:
        return make_prior(make_prior_config(config, tokens, context))
    except ValueError as error:
        raise UsageError(f"prior.{error}") from None


def make_prior_config(config: PriorTrainingConfig, tokens: TokenKind, context: ContextConfig | None) -> AnyPriorConfig:
    """The network's configuration, completed from the tokens and the text."""
    return config.prior.with_tokens(tokens.spec, context, tokens.control)


def make_context_config(conditioner: Conditioner | None) -> ContextConfig | None:
    if conditioner is None:
        return None
    return ContextConfig(conditioner.length, conditioner.vocabulary, conditioner.features)


def refuse_sharded(distributed: Distributed) -> None:
    if distributed.sharded:
        raise UsageError("phases with rollout_share need all weights in each process; use DDP, or FSDP without them")


def prefetch(batches: Generator[T]) -> Generator[T]:
    """The same batches; a thread makes the next one while the current one is used. Closes `batches` when closed.

    Each batch holds the position after it, so a batch that was made and not used has no effect on a resumed run.
    """
    end = object()  # a future cannot carry StopIteration
    with closing(batches), ThreadPoolExecutor(1, thread_name_prefix="videogen-prefetch") as thread:
        future = thread.submit(next, batches, end)
        while (batch := future.result()) is not end:
            future = thread.submit(next, batches, end)
            yield batch  # type: ignore[misc]  # whatever is not the end is a T
