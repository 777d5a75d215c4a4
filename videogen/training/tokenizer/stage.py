"""Stage one: the losses of the tokenizer and its discriminator, validation, samples and export."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property, partial, reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from tokenizer import diagnostics
from tokenizer.losses.adversarial import LeCam, is_active
from tokenizer.losses.alignment import AlignmentHead, AlignmentPairs, alignment_loss, alignment_pairs
from tokenizer.losses.discriminator import Discriminator
from tokenizer.losses.objective import adversarial_loss, discriminator_loss, reconstruction_loss
from tokenizer.losses.perceptual import PerceptualLoss
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import DECODER_WEIGHTS, ENCODER_WEIGHTS, Reconstruction
from tokenizer.quantize import batch_figures
from videogen.checkpoint import Content
from videogen.clip_spec import ClipSpec
from videogen.conditioning import Conditioner
from videogen.data import Sample
from videogen.evaluation.info.spec import format_codes, format_groups
from videogen.evaluation.tokenizer.reconstruction import ReconstructionMetrics, draw_pairs
from videogen.io.pixels import to_clip, to_frames
from videogen.models import count_parameters, tokenizer_files
from videogen.models.perceptual import load_perceptual
from videogen.models.vision import load_vision
from videogen.training.loop.monitor import MonitoredMetric
from videogen.training.loop.stage import Distributed, Json, LossOutput, Replaced, TrainedModule
from videogen.training.tokenizer.clips import ClipBatch, ClipBatches
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.init_weights import init_weights
from videogen.training.tokenizer.quantizer_statistics import LEARNING, QuantizerStatistics

TOKENIZER, DISCRIMINATOR, ALIGNMENT = "tokenizer", "discriminator", "alignment"
SAMPLE_CLIPS, VALIDATION_BATCH = 8, 8


class TokenizerStage:
    """The `Stage` of a tokenizer and its discriminator."""

    name = "tokenizer"
    monitored = MonitoredMetric("psnr", "l2", lower_is_better=False)

    def __init__(self, config: TokenizerTrainingConfig, clips: ClipBatches, conditioner: Conditioner | None = None):
        self.config, self.clips, self.conditioner = config, clips, conditioner
        self.network = make_tokenizer(config.tokenizer)
        self.network.quantizer.begin_training()
        self.statistics = QuantizerStatistics(self.network.quantizer)
        self.trained_modules = {
            TOKENIZER: TrainedModule(
                self.network,
                config.optimizer,
                may_freeze=config.phases[-1].freezes_encoder,
                averaged_buffers=self.statistics.buffers("quantizer."),
                init_weights=None if config.init_from is None else partial(init_weights, config, self.network),
            )
        }
        self.adversarial = config.loss.adversarial
        self.extra_state: LeCam | None = None
        if self.adversarial is not None and config.discriminator_optimizer is not None:
            discriminator = Discriminator(self.adversarial.discriminator)
            optimizer, start = config.discriminator_optimizer, self.adversarial.start_step
            self.trained_modules[DISCRIMINATOR] = TrainedModule(
                discriminator, optimizer, averaged=False, first_step=start
            )
            self.extra_state = LeCam(self.adversarial.lecam_decay)
        self._perceptual = load_perceptual(
            config.loss.perceptual, min(min(each.height, each.width) for each in config.phases)
        )
        self.alignment, self.vision = config.loss.alignment, load_vision(config.loss.alignment)
        if self.alignment is not None and self.vision is not None:
            head = AlignmentHead(self.alignment.head, self.network.quantizer.dim, self.vision.width)
            self.trained_modules[ALIGNMENT] = TrainedModule(head, config.optimizer, averaged=False)

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world_size: int) -> Generator[ClipBatch]:
        return self.clips.batches(position, step, accumulation, rank, world_size)

    def frozen(self, module: str, step: int) -> Callable[[str], bool]:
        phase = self.phase(step)
        if module != TOKENIZER or not phase.freezes_encoder:
            return lambda name: False
        if phase.decoder_only:
            return lambda name: not name.startswith(DECODER_WEIGHTS)
        return lambda name: name.startswith(ENCODER_WEIGHTS)

    def phase(self, step: int) -> PhaseConfig:
        return self.config.phases[self.config.phase_at(step)]

    def losses(self, batch: ClipBatch, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        clip = to_clip(to_device(batch.clips, distributed.device))
        self.network.quantizer.set_step(step)
        text = self.text(batch.captions, distributed.device)
        text = None if text is None else text.without(torch.tensor(batch.dropped, device=distributed.device))
        out: Reconstruction = distributed.modules[TOKENIZER](clip, text)
        if not self.phase(step).decoder_only:
            self.statistics.collect(step, out.quantized.statistics, out.quantized.samples)
        loss = reconstruction_loss(self.config.loss, self.perceptual(distributed.device), out.clip, clip, step)
        total = loss.total + torch.stack([term.float() for term in out.losses.values()]).sum()
        metrics = {
            **loss.terms,
            **{name: term.detach() for name, term in out.losses.items()},
            **out.quantized.metrics,
            **alarm_metrics(clip, out, self.network.quantizer.codebooks),
        }
        if self.alignment is not None and (pairs := self.alignment_pairs(clip, out, step)) is not None:
            head_loss = alignment_loss(distributed.modules[ALIGNMENT](pairs.latents.detach()), pairs.features)
            yield LossOutput(ALIGNMENT, head_loss, {})
            with distributed.frozen_module(ALIGNMENT) as head:
                aligned = alignment_loss(head(pairs.latents), pairs.features)
            total, metrics = total + self.alignment.weight * aligned, {**metrics, "alignment": aligned.detach()}
        if self.adversarial is None or not is_active(self.adversarial, step):
            yield LossOutput(TOKENIZER, total, metrics)
            return
        with distributed.frozen_module(DISCRIMINATOR) as discriminator:
            generator = adversarial_loss(
                self.adversarial,
                discriminator(out.clip),
                loss.total,
                self.last_layer(out, distributed),
                step,
                distributed.mean,
            )
        yield LossOutput(TOKENIZER, total + generator.total, {**metrics, **generator.terms})
        assert self.extra_state is not None
        real, fake = distributed.modules[DISCRIMINATOR](torch.cat([clip, out.clip.detach()])).chunk(2)
        judging = discriminator_loss(self.adversarial, self.extra_state, real, fake)
        yield LossOutput(DISCRIMINATOR, judging.total, judging.terms)

    def alignment_pairs(self, clip: Tensor, out: Reconstruction, step: int) -> AlignmentPairs | None:
        """What alignment compares; nothing while nothing learns that makes latents."""
        phase = self.phase(step)
        fixed = phase.decoder_only or (phase.encoder_frozen and next(self.network.layout.parameters(), None) is None)
        if self.alignment is None or self.vision is None or fixed:
            return None
        latents_BTND = out.latents if self.alignment.on == "latents" else out.quantized.latents
        return alignment_pairs(self.vision, clip, latents_BTND, self.network.spec(*clip.shape[3:]))

    def text(self, captions: Sequence[str], device: torch.device) -> Text | None:
        """What the decoder is given; None for a tokenizer without a condition."""
        return None if self.conditioner is None else self.conditioner(captions).to(device)

    def last_layer(self, out: Reconstruction, distributed: Distributed) -> Tensor:
        """Where the adaptive weight compares gradients: the weights of the last layer, or the reconstructed clip.

        Sharded weights are nowhere whole, and a compiled network has a single backward pass through all its layers.
        """
        if distributed.sharded or self.config.training.compile:
            return out.clip
        return self.network.last_layer

    def perceptual(self, device: torch.device) -> PerceptualLoss | None:
        if isinstance(self._perceptual, nn.Module):
            self._perceptual.to(device)
        return self._perceptual

    def after_step(self, step: int, means: Mapping[str, float], distributed: Distributed) -> Replaced:
        replaced = self.statistics.apply(step, distributed)
        if self.extra_state is not None and "discriminator_real" in means:
            real, fake = (torch.tensor(means[f"discriminator_{kind}"]) for kind in ("real", "fake"))
            self.extra_state.update(real, fake)
        return {TOKENIZER: {f"quantizer.{name}": rows for name, rows in replaced.items()}}

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        if "variance" not in means:  # no step was taken since the last line of the log
            return {}
        codebooks, accuracy = self.network.quantizer.codebooks, means.get("discriminator_accuracy", 0.0)
        perplexity = means.get("perplexity", 0.0)  # continuous tokens have none, and no codes that could collapse
        return {
            "input outside [-1, 1]": diagnostics.input_out_of_range(means.get("outside", 0.0)),
            "flat reconstructions": diagnostics.flat_reconstructions(means["variance"], means["clip_variance"]),
            "codes collapse": diagnostics.codes_collapse(perplexity, round(means["tokens"]), codebooks),
            "first codes": diagnostics.first_codes_missing(self.network.quantizer.looks_for_codes),
            "discriminator dominates": diagnostics.discriminator_dominates(accuracy),
        }

    @cached_property
    def validation_samples(self) -> list[Sample]:
        return self.clips.validation_samples()

    @cached_property
    def validation_clips(self) -> Tensor:
        """uint8 [N, T, H, W, 3]"""
        return torch.stack([torch.from_numpy(sample.clip) for sample in self.validation_samples])

    @property
    def validation_captions(self) -> list[str]:
        return [sample.caption for sample in self.validation_samples]

    def validate(self, distributed: Distributed) -> dict[str, float]:
        """Metrics over all held-out clips; a decoder with a condition is given their captions, and then none."""
        together = self.reconstruct_held_out(distributed, self.validation_captions)
        quality, usage = together.totals.quality(), together.usage
        uncaptioned = {}
        if self.conditioner is not None:
            without = self.reconstruct_held_out(distributed, [""] * len(self.validation_captions))
            uncaptioned = {"psnr_without_caption": without.totals.quality().psnr}
        return {
            "psnr": quality.psnr,
            "psnr_pooled": quality.psnr_pooled,
            "ssim": quality.ssim,
            "flicker": quality.flicker,
            **usage.figures(),
            **uncaptioned,
        }

    def reconstruct_held_out(self, distributed: Distributed, captions: Sequence[str]) -> ReconstructionMetrics:
        """Each process evaluates every world_size-th clip; the metrics are over all clips, each counted once."""
        metrics = ReconstructionMetrics.none(self.network.quantizer.codebooks)
        count = len(self.validation_clips)
        for numbers in torch.split(numbers_of_rank(count, distributed.rank, distributed.world_size), VALIDATION_BATCH):
            part = self.validation_clips[numbers % count]
            text = self.text([captions[number % count] for number in numbers.tolist()], distributed.device)
            out: Reconstruction = distributed.modules[TOKENIZER](to_clip(part.to(distributed.device)), text)
            own = int((numbers < count).sum())
            metrics = metrics.plus(to_frames(out.clip[:own]).cpu(), part[:own], out.codes[:own])
        together: ReconstructionMetrics = reduce(ReconstructionMetrics.joined, distributed.gather(metrics))
        return together

    def write_samples(self, distributed: Distributed, place: Path) -> None:
        clips = self.validation_clips[:SAMPLE_CLIPS]
        text = self.text(self.validation_captions[:SAMPLE_CLIPS], distributed.device)
        out: Reconstruction = distributed.modules[TOKENIZER](to_clip(clips.to(distributed.device)), text)
        if distributed.rank == 0:
            draw_pairs(clips.numpy(), to_frames(out.clip).cpu().numpy(), self.config.data.fps, place)

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        phase = self.config.phases[-1]
        clips = ClipSpec(phase.height, phase.width, self.config.data.fps, phase.frames)
        used = {name: tensor for name, tensor in weights[TOKENIZER].items() if not LEARNING.match(name)}
        return tokenizer_files(self.config.tokenizer, clips, used, self.card(), self.conditioner)

    def card(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.summary().items())
        made = f"Trained by `videogen train tokenizer` on `{self.config.data.train.name}`."
        return f"# A video tokenizer\n\n{made}\n\n{facts}\n"

    def summary(self) -> dict[str, str]:
        phase, fps = self.config.phases[-1], self.config.data.fps
        spec = self.network.spec(phase.height, phase.width)
        pixels = spec.frames_per_latent * phase.height * phase.width
        codes = f"{math.prod(spec.codebooks):,} ({spec.bits:.2f} bits a token)"
        condition = self.config.tokenizer.condition
        conditioned = {} if condition is None else {"the decoder is given": f"the caption, by {condition.kind}"}
        return {
            "compression": f"{pixels_of_token(spec, phase)} in space, {spec.frames_per_latent} in time",
            "codes": format_codes(spec) if spec.continuous else codes,
            "tokens a latent frame": f"{spec.tokens} ({format_groups(spec)})",
            "tokens a second of video": f"{spec.tokens * fps / spec.frames_per_latent:.0f} at {fps:g} frames a second",
            **({} if spec.continuous else {"bits a pixel": f"{spec.bits * spec.tokens / pixels:.4f} (raw video: 24)"}),
            **conditioned,
            **{f"parameters of the {name}": f"{count_parameters(part):,}" for name, part in self.parts()},
        }

    def parts(self) -> list[tuple[str, nn.Module]]:
        trained = self.trained_modules
        discriminator = [("discriminator", trained[DISCRIMINATOR].module)] if DISCRIMINATOR in trained else []
        return [("encoder", self.network.encoder), ("decoder", self.network.decoder), *discriminator]


def pixels_of_token(spec: TokenSpec, phase: PhaseConfig) -> str:
    """The pixels of a frame for each token: as a rectangle on a plain grid."""
    if len(spec.groups) == 1 and len(spec.groups[0].shape) == 2:
        rows, columns = spec.groups[0].shape
        return f"{phase.height // rows} x {phase.width // columns}"
    return f"{phase.height * phase.width / spec.tokens:g} pixels a token"


def to_device(clips_BTHWC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copies to a GPU from pinned memory, while the GPU is still busy with earlier work."""
    clips = torch.from_numpy(clips_BTHWC)
    return clips.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else clips.to(device)


def numbers_of_rank(count: int, rank: int, world_size: int) -> Tensor:
    """Every world_size-th number from `rank` on, equally many for each process; the last may lie beyond `count`.

    All processes have to call a sharded network equally often.
    """
    return torch.arange(rank, -(-count // world_size) * world_size, world_size)


@torch.no_grad()
def alarm_metrics(clip: Tensor, out: Reconstruction, codebooks: Sequence[int]) -> dict[str, Tensor]:
    """The metrics that alarms are based on."""
    return {
        "outside": diagnostics.share_out_of_range(clip),
        "clip_variance": diagnostics.within_frame_variance(clip),
        "variance": diagnostics.within_frame_variance(out.clip),
        **batch_figures(out.codes, codebooks),
        "tokens": torch.tensor(float(out.codes.shape[:-1].numel()), device=clip.device),
    }
