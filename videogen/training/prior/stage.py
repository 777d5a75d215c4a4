"""Stage two: what the prior minimises, what is validated, drawn and exported."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from prior.attention import Kernel, choose
from prior.config import ContextConfig, PriorConfig
from prior.digits import Answers
from prior.model import Lesson, LlamaPrior
from prior.text import Text
from prior.vocabulary import grouped
from tokenizer.quantize import FSQConfig, QuantizerConfig
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


class PriorStage:
    """The promise of `videogen.training.loop.stage.Stage`, kept for a prior."""

    name = PRIOR
    judged = Judged("nats", "nats", lower_is_better=True)
    memory: nn.Module | None = None

    def __init__(
        self, config: PriorTrainingConfig, lessons: Lessons, tokenizer: TokenizerModel, conditioner: Conditioner | None
    ):
        self.config, self.lessons, self.tokenizer, self.conditioner = config, lessons, tokenizer, conditioner
        quantizer, context = tokenizer.config.quantizer, context_of(conditioner)
        self.network = LlamaPrior(network_config(config, quantizer, tokenizer.path, context))
        given = first_weights(self.network, config)
        self.players = {PRIOR: Player(self.network, config.optimizer, first_weights=given)}

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[LessonBatch]:
        return one_ahead(self.lessons.batches(position, step, accumulation, rank, world))

    def resting(self, player: str, step: int) -> Callable[[str], bool]:
        return lambda name: False

    def turns(self, batch: LessonBatch, step: int, team: Team) -> Iterator[Turn]:
        config = self.config
        lesson = self.lesson(batch, team.device)
        phase = self.lessons.phase(step)
        if phase.rollout_share and self.lessons.is_rollout(step):
            refuse_sharded(team)
            seeds = seeds_of(batch.keys, config.training.seed, step)
            made = own_history(self.network, lesson, phase, seeds)
            lesson = lesson._replace(clean=made, rate_B=torch.zeros_like(lesson.rate_B))
        blocks, smoothing = self.network.blocks_for(lesson, config.kernel), config.teaching.label_smoothing
        answers: Answers = team.modules[PRIOR](lesson, config.kernel, smoothing, config.recompute, blocks)
        counted = batch.counted.to(team.device)
        total, nats, right = ((each * counted).sum() * batch.share for each in answers)
        yield Turn(PRIOR, total, {"nats": nats.detach(), "top_guess": right.float()})

    def lesson(self, batch: LessonBatch, device: torch.device) -> Lesson:
        ids, clean, hidden, rate = (each.to(device) for each in (batch.ids, batch.clean, batch.hidden, batch.rate))
        masked = self.config.prior.objective == "masked"
        seen = torch.where(hidden, self.network.vocabulary.mask, ids) if masked else None
        text = self.text(batch.captions, device)
        return Lesson(ids, clean, seen, text if text is None else text.without(batch.withheld.to(device)), rate)

    def text(self, captions: tuple[str, ...], device: torch.device) -> Text | None:
        return None if self.conditioner is None else self.conditioner(captions).to(device)

    def applied(self, step: int, means: Mapping[str, float]) -> None:
        pass

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        """A prior that knows less than the frequencies of codes has not begun to learn."""
        if "nats" not in means:
            return {}
        worse = step > self.config.optimizer.warmup + 200 and means["nats"] > self.baseline_nats["nats_of_frequencies"]
        words = (
            f"{means['nats']:.2f} nats a token, while the frequencies of codes alone cost "
            f"{self.baseline_nats['nats_of_frequencies']:.2f}: lower the learning rate, or look at the tokens"
        )
        return {"worse than frequencies": words if worse else None}

    @cached_property
    def validation_ids(self) -> Tensor:
        """int64 [N, T, h, w]"""
        return torch.stack([torch.from_numpy(window.ids) for window in self.lessons.for_validation()])

    @cached_property
    def validation_captions(self) -> tuple[str, ...]:
        return tuple(window.caption for window in self.lessons.for_validation())

    @cached_property
    def baseline_nats(self) -> dict[str, float]:
        windows = self.lessons.windows[-1]
        return Baseline.of(windows.tokens, windows.rows.tolist()).nats(self.validation_ids.numpy())

    def validate(self, team: Team) -> dict[str, float]:
        """The figures are those of all clips, each counted once.

        All processes ask their network equally often, for where weights are shared out they need each other: who has
        run out of clips goes through some again.
        """
        config, module = self.config, team.modules[PRIOR]

        def answer(lesson: Lesson) -> Answers:
            answers: Answers = module(lesson, config.kernel, blocks=self.network.blocks_for(lesson, config.kernel))
            return answers

        count, sums = len(self.validation_ids), LikelihoodSums.none(self.validation_ids.shape[1])
        each, masked = -(-count // team.world), config.prior.objective == "masked"
        for first in range(team.rank * each, (team.rank + 1) * each, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, (team.rank + 1) * each))
            rows = [number % count for number in numbers]
            text = self.text(tuple(self.validation_captions[row] for row in rows), team.device)
            asked = self.validation_ids[rows].to(team.device), text, masked, self.network.vocabulary
            own = max(0, min(len(numbers), count - first))
            sums = sums.plus(frame_likelihoods(answer, *asked, first).of(slice(own)))
        sums = sums.over_processes(team.mean)
        tokenizer, (height, width) = self.tokenizer.config, self.lessons.grid
        pixels = height * width * tokenizer.f_s**2
        return {**figures(sums, height * width, pixels, tokenizer.f_t), **self.baseline_nats}

    def draw_samples(self, team: Team, place: Path) -> None:
        """Videos of held-out captions; only where each process has all weights."""
        if team.rank == 0 and not team.sharded:
            captions = self.validation_captions[:4]
            windows = self.lessons.held_out
            draw_rollouts(
                self.network, self.tokenizer, self.text(captions, team.device), captions, windows.grid,
                windows.frames, windows.tokens.description.cut.fps, place,
            )  # fmt: skip

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        windows = self.lessons.windows[-1]
        cut = windows.tokens.description.cut
        spec = self.tokenizer.spec_of(cut.height, cut.width)
        clips = ClipSpec(cut.height, cut.width, cut.fps, spec.video_frames(windows.frames))
        parts = self.tokenizer, self.network.config, clips, weights[PRIOR], self.conditioner
        return prior_files(*parts, self.card(), self.config.generation)

    def card(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.figures().items())
        made = f"Trained by `videogen train prior` on `{self.config.data.train.name}`."
        return f"# A tokenizer and a prior\n\n{made}\n\n{facts}\n"

    def figures(self) -> dict[str, str]:
        windows = self.lessons.windows[-1]
        description = windows.tokens.description
        shapes = LatentShapes(windows.grid, description.f_t, description.cut.fps)
        return facts_of(self.network, shapes, self.config.kernel)


@dataclass(frozen=True)
class LatentShapes:
    """The latent frames that a prior learns: rows and columns of tokens, frames in each, frames a second."""

    grid: tuple[int, int]
    f_t: int
    fps: float


def facts_of(network: LlamaPrior, shapes: LatentShapes, kernel: Kernel) -> dict[str, str]:
    config, (height, width) = network.config, shapes.grid
    text = "none" if config.context is None else f"{config.context.length} tokens a caption"
    on_cpu, on_gpu = (choose(kernel, torch.device(kind)) for kind in ("cpu", "cuda"))
    return {
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
        "codes": f"{config.vocabulary.size:,} as digits of {' x '.join(map(str, config.digits))}",
        "objective": {"masked": "masked frames", "next": "next token"}[config.objective],
        "tokens a latent frame": f"{height * width} ({height} x {width})",
        "tokens a second of video": f"{height * width * shapes.fps / shapes.f_t:.0f}",
        "window": f"{config.window} latent frames, {config.window * shapes.f_t / shapes.fps:.1f} s",
        "text": text,
        "attention in training": f"{on_cpu} on a CPU, {on_gpu} on a GPU",
    }


def network_config(
    config: PriorTrainingConfig, quantizer: QuantizerConfig, place: Path, context: ContextConfig | None
) -> PriorConfig:
    """What the configuration leaves open follows from the tokenizer at `place` and the text."""
    known = digits_of(quantizer)
    made = PriorConfig(**asdict(config.prior), digits=config.digits or known, context=context)
    if made.vocabulary.size != math.prod(known):
        raise UsageError(
            f"digits are {list(made.digits)}, {made.vocabulary.size:,} codes; the tokenizer at {place} has "
            f"{math.prod(known):,}, for instance {list(known)}"
        )
    return made


def context_of(conditioner: Conditioner | None) -> ContextConfig | None:
    if conditioner is None:
        return None
    return ContextConfig(conditioner.length, conditioner.vocabulary, conditioner.features)


def digits_of(quantizer: QuantizerConfig) -> tuple[int, ...]:
    """Neighbouring levels of FSQ, or bits of the others, multiplied to digits of at most 16."""
    return grouped(quantizer.levels if isinstance(quantizer, FSQConfig) else (2,) * quantizer.bits)


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
