"""Stage two: what the prior minimises, what is validated, drawn and exported."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.attention import Kernel, choose
from prior.config import ContextConfig, ControlConfig, PriorConfig
from prior.heads.base import TokenLosses
from prior.model import LlamaPrior, PriorBatch
from videogen.checkpoint import Content
from videogen.clip_spec import ClipSpec
from videogen.conditioning import Conditioner
from videogen.errors import UsageError
from videogen.evaluation.prior.likelihood import Baseline, LikelihoodSums, figures, frame_likelihoods
from videogen.models import TokenizerModel, prior_files
from videogen.training.loop.monitor import Judged
from videogen.training.loop.stage import Json, Player, Team, Turn
from videogen.training.prior.batches import LessonBatch, Lessons
from videogen.training.prior.config import PriorTrainingConfig
from videogen.training.prior.init_weights import first_weights
from videogen.training.prior.samples import draw_rollouts, own_history, seeds_of

T = TypeVar("T")
PRIOR = "prior"
AT_ONCE = 16  # clips in a batch of validation


class TokenKind(Protocol):
    """What a prior is for: the description of a token set has it."""

    @property
    def spec(self) -> TokenSpec: ...

    @property
    def control(self) -> ControlConfig | None: ...


class PriorStage:
    """The promise of `videogen.training.loop.stage.Stage`, kept for a prior."""

    name = PRIOR
    judged = Judged("nats", "nats", lower_is_better=True)
    memory: nn.Module | None = None

    def __init__(
        self, config: PriorTrainingConfig, lessons: Lessons, tokenizer: TokenizerModel, conditioner: Conditioner | None
    ):
        self.config, self.lessons, self.tokenizer, self.conditioner = config, lessons, tokenizer, conditioner
        tokens = lessons.windows[0].tokens.description
        self.network = LlamaPrior(network_config(config, tokens, context_of(conditioner)))
        given = first_weights(self.network, config)
        self.players = {PRIOR: Player(self.network, config.optimizer, first_weights=given)}

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[LessonBatch]:
        return one_ahead(self.lessons.batches(position, step, accumulation, rank, world))

    def resting(self, player: str, step: int) -> Callable[[str], bool]:
        return lambda name: False

    def turns(self, batch: LessonBatch, step: int, team: Team) -> Iterator[Turn]:
        config = self.config
        inputs = self.inputs(batch, team.device)
        phase = self.lessons.phase(step)
        if phase.rollout_share and self.lessons.is_rollout(step):
            refuse_sharded(team)
            seeds = seeds_of(batch.keys, config.training.seed, step)
            history = own_history(self.network, inputs, phase, seeds)
            inputs = inputs._replace(clean=history, noise_B=torch.zeros_like(inputs.noise_B))
        blocks, smoothing = self.network.blocks_for(inputs, config.kernel), config.teaching.label_smoothing
        losses: TokenLosses = team.modules[PRIOR](inputs, config.kernel, smoothing, config.recompute, blocks)
        counted = batch.counted.to(team.device)
        total, nats, right = ((each * counted).sum() * batch.share for each in losses)
        yield Turn(PRIOR, total, {"nats": nats.detach(), "top_guess": right.float()})

    def inputs(self, batch: LessonBatch, device: torch.device) -> PriorBatch:
        known, control = (None if each is None else each.to(device) for each in (batch.known, batch.control))
        text = self.text(batch.captions, device)
        return PriorBatch(
            targets=batch.codes.to(device),
            clean=batch.clean.to(device),
            known=known,
            text=None if text is None else text.without(batch.without_text.to(device)),
            noise_B=batch.noise.to(device),
            spec=self.lessons.spec,
            control=control,
        )

    def text(self, captions: tuple[str, ...], device: torch.device) -> Text | None:
        return None if self.conditioner is None else self.conditioner(captions).to(device)

    def applied(self, step: int, means: Mapping[str, float]) -> None:
        pass

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        """A prior that knows less than the frequencies of codes has not begun to learn."""
        if "nats" not in means:
            return {}
        frequencies = self.baseline_nats.get("nats_of_frequencies", math.inf)
        worse = step > self.config.optimizer.warmup + 200 and means["nats"] > frequencies
        words = (
            f"{means['nats']:.2f} nats a token, while the frequencies of codes alone cost {frequencies:.2f}: "
            "lower the learning rate, or look at the tokens"
        )
        return {"worse than frequencies": words if worse else None}

    @cached_property
    def validation_codes(self) -> Tensor:
        """[B, T, N, K]"""
        return torch.stack([torch.from_numpy(window.codes) for window in self.lessons.for_validation()])

    @cached_property
    def validation_control(self) -> Tensor | None:
        controls = [window.control for window in self.lessons.for_validation() if window.control is not None]
        return torch.from_numpy(np.stack(controls)) if controls else None

    @cached_property
    def validation_captions(self) -> tuple[str, ...]:
        return tuple(window.caption for window in self.lessons.for_validation())

    @cached_property
    def baseline_nats(self) -> dict[str, float]:
        windows = self.lessons.windows[-1]
        baseline = Baseline.of(windows.tokens, windows.rows.tolist())
        return {} if baseline is None else baseline.nats(self.validation_codes.numpy(), windows.spec)

    def validate(self, team: Team) -> dict[str, float]:
        """The figures are those of all clips, each counted once.

        All processes ask their network equally often, for where weights are shared out they need each other: who has
        run out of clips goes through some again.
        """
        config, module = self.config, team.modules[PRIOR]

        def losses(batch: PriorBatch) -> TokenLosses:
            found: TokenLosses = module(batch, config.kernel, blocks=self.network.blocks_for(batch, config.kernel))
            return found

        codes, control, spec = self.validation_codes, self.validation_control, self.lessons.spec
        count, sums = len(codes), LikelihoodSums.none(codes.shape[1])
        each, masked = -(-count // team.world), config.prior.objective == "masked"
        for first in range(team.rank * each, (team.rank + 1) * each, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, (team.rank + 1) * each))
            rows = [number % count for number in numbers]
            text = self.text(tuple(self.validation_captions[row] for row in rows), team.device)
            told = None if control is None else control[rows].to(team.device)
            found = frame_likelihoods(losses, codes[rows].to(team.device), spec, masked, text, told, first)
            sums = sums.plus(found.of(slice(max(0, min(len(numbers), count - first)))))
        sums = sums.over_processes(team.mean)
        clips = self.lessons.windows[-1].tokens.description.clips
        return {**figures(sums, spec, clips.height * clips.width), **self.baseline_nats}

    def draw_samples(self, team: Team, place: Path) -> None:
        """Videos of held-out captions; only where each process has all weights."""
        if team.rank == 0 and not team.sharded:
            captions = self.validation_captions[:4]
            windows = self.lessons.held_out
            draw_rollouts(
                self.network, self.tokenizer, self.text(captions, team.device), captions, windows.spec,
                windows.frames, windows.tokens.description.clips.fps, place,
            )  # fmt: skip

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        windows = self.lessons.windows[-1]
        encoded = windows.tokens.description.clips
        clips = ClipSpec(encoded.height, encoded.width, encoded.fps, windows.spec.video_frames(windows.frames))
        parts = self.tokenizer, self.network.config, clips, weights[PRIOR], self.conditioner
        return prior_files(*parts, self.card(), self.config.generation)

    def card(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.figures().items())
        made = f"Trained by `videogen train prior` on `{self.config.data.train.name}`."
        return f"# A tokenizer and a prior\n\n{made}\n\n{facts}\n"

    def figures(self) -> dict[str, str]:
        windows = self.lessons.windows[-1]
        return facts_of(self.network, windows.tokens.description.clips.fps, self.config.kernel)


def facts_of(network: LlamaPrior, fps: float, kernel: Kernel) -> dict[str, str]:
    """About the prior, and the latent frames that it is for, at this frame rate."""
    config, spec = network.config, network.spec
    text = "none" if config.context is None else f"{config.context.length} tokens a caption"
    on_cpu, on_gpu = (choose(kernel, torch.device(kind)) for kind in ("cpu", "cuda"))
    groups = " then ".join(" x ".join(map(str, group.shape)) for group in spec.groups)
    return {
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
        "a token": token_words(spec),
        "objective": {"masked": "masked frames", "autoregressive": "token after token"}[config.objective],
        "tokens a latent frame": f"{spec.tokens} ({groups})",
        "tokens a second of video": f"{spec.tokens * fps / spec.frames_per_latent:.0f}",
        "window": f"{config.window} latent frames, {config.window * spec.frames_per_latent / fps:.1f} s",
        "text": text,
        **({} if config.control is None else {"control": control_words(config.control)}),
        "attention in training": f"{on_cpu} on a CPU, {on_gpu} on a GPU",
    }


def token_words(spec: TokenSpec) -> str:
    if spec.continuous:
        return f"{spec.channels} numbers"
    return f"{spec.bits:.3g} bits, codebooks of {' x '.join(map(str, spec.codebooks))}"


def control_words(control: ControlConfig) -> str:
    return f"{control.floats} numbers" if control.discrete is None else f"one of {control.discrete} actions"


def network_config(config: PriorTrainingConfig, tokens: TokenKind, context: ContextConfig | None) -> PriorConfig:
    """What the configuration leaves open follows from the tokens and the text."""
    return PriorConfig(**asdict(config.prior), spec=tokens.spec, context=context, control=tokens.control)


def context_of(conditioner: Conditioner | None) -> ContextConfig | None:
    if conditioner is None:
        return None
    return ContextConfig(conditioner.length, conditioner.vocabulary, conditioner.features)


def refuse_sharded(team: Team) -> None:
    if team.sharded:
        raise UsageError("phases with rollout_share need all weights in each process; use DDP, or FSDP without them")


def one_ahead(batches: Generator[T]) -> Generator[T]:
    """The same batches, each made in a thread while the one before it is worked with; `batches` is closed with it.

    A batch says itself where the next one begins: one that was made and never asked for leaves no trace.
    """
    end = object()  # for a future cannot carry StopIteration
    with closing(batches), ThreadPoolExecutor(1, thread_name_prefix="videogen-ahead") as thread:
        coming = thread.submit(next, batches, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(next, batches, end)
            yield batch  # type: ignore[misc]  # whatever is not the end is a T
