"""Stage one: what the tokenizer and its discriminator minimise, what is validated, drawn and exported."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property, partial, reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenizer import diagnostics
from tokenizer.losses.adversarial import LeCam, is_active
from tokenizer.losses.discriminator import Discriminator
from tokenizer.losses.objective import adversarial_loss, discriminator_loss, reconstruction_loss
from tokenizer.losses.perceptual import PerceptualLoss
from tokenizer.networks.cnn import CNNTokenizer, Reconstruction
from tokenizer.networks.config import DECODER_FIELDS, TokenizerConfig
from tokenizer.networks.encoder_decoder import decoder_layers
from tokenizer.quantize import batch_perplexity
from videogen.checkpoint import Content
from videogen.clip_spec import ClipSpec
from videogen.errors import UsageError
from videogen.evaluation.tokenizer.reconstruction import ReconstructionMetrics, draw_pairs
from videogen.models import DECODER_WEIGHTS, load_tokenizer, tokenizer_files
from videogen.models.perceptual import load_perceptual
from videogen.pixels import to_clip, to_frames
from videogen.training.loop.monitor import Judged
from videogen.training.loop.stage import Json, Player, Team, Turn
from videogen.training.prior.init_weights import beginning
from videogen.training.tokenizer.clips import ClipBatch, Clips
from videogen.training.tokenizer.config import TokenizerTrainingConfig

TOKENIZER, DISCRIMINATOR = "tokenizer", "discriminator"
DRAWN = 8  # clips in a sample grid
AT_ONCE = 8  # clips in a batch of validation


class TokenizerStage:
    """The promise of `videogen.training.loop.stage.Stage`, kept for a tokenizer."""

    name = "tokenizer"
    judged = Judged("psnr", "l2", lower_is_better=False)

    def __init__(self, config: TokenizerTrainingConfig, clips: Clips):
        self.config, self.clips = config, clips
        self.network = CNNTokenizer(config.tokenizer)
        self.players = {
            TOKENIZER: Player(
                self.network,
                config.optimizer,
                rests=config.phases[-1].decoder_only,
                first_weights=None if config.begin_with is None else partial(weights_of, config, self.network),
            )
        }
        self.adversarial = config.loss.adversarial
        self.memory: LeCam | None = None
        if self.adversarial is not None and config.discriminator_optimizer is not None:
            critic = Discriminator(self.adversarial.discriminator)
            self.players[DISCRIMINATOR] = Player(
                critic, config.discriminator_optimizer, averaged=False, begins=self.adversarial.start_step
            )
            self.memory = LeCam(self.adversarial.lecam_decay)
        self._perceptual = load_perceptual(config.loss.perceptual)

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[ClipBatch]:
        return self.clips.batches(position, step, accumulation, rank, world)

    def resting(self, player: str, step: int) -> Callable[[str], bool]:
        decoder_only = player == TOKENIZER and self.config.phases[self.config.phase_at(step)].decoder_only
        return lambda name: decoder_only and name.startswith("encoder.")

    def turns(self, batch: ClipBatch, step: int, team: Team) -> Iterator[Turn]:
        clip = to_clip(sent(batch.clips, team.device))
        out: Reconstruction = team.modules[TOKENIZER](clip)
        loss = reconstruction_loss(self.config.loss, self.perceptual(team.device), out.clip, clip, step)
        total = loss.total + torch.stack([term.float() for term in out.losses.values()]).sum()
        terms = {
            **loss.terms,
            **{name: term.detach() for name, term in out.losses.items()},
            **looks(clip, out, self.network.quantizer.codebooks),
        }
        if self.adversarial is None or not is_active(self.adversarial, step):
            yield Turn(TOKENIZER, total, terms)
            return
        with team.bystander(DISCRIMINATOR) as critic:
            fooling = adversarial_loss(
                self.adversarial, critic(out.clip), loss.total, self.shared(out, team), step, team.mean
            )
        yield Turn(TOKENIZER, total + fooling.total, {**terms, **fooling.terms})
        assert self.memory is not None
        real, fake = team.modules[DISCRIMINATOR](torch.cat([clip, out.clip.detach()])).chunk(2)
        judging = discriminator_loss(self.adversarial, self.memory, real, fake)
        yield Turn(DISCRIMINATOR, judging.total, judging.terms)

    def shared(self, out: Reconstruction, team: Team) -> Tensor:
        """What the adaptive weight compares gradients at: the last layer, if it can be reached alone, or the clip.

        Weights that are cut up are not whole anywhere, and a compiled network has one backward pass, of all its layers.
        """
        if team.sharded or self.config.training.compile:
            return out.clip
        return self.network.decoder.layers[-1].conv.weight  # type: ignore[union-attr, return-value]

    def perceptual(self, device: torch.device) -> PerceptualLoss | None:
        if isinstance(self._perceptual, nn.Module):
            self._perceptual.to(device)
        return self._perceptual

    def applied(self, step: int, means: Mapping[str, float]) -> None:
        if self.memory is not None and "discriminator_real" in means:
            real, fake = (torch.tensor(means[f"discriminator_{kind}"]) for kind in ("real", "fake"))
            self.memory.update(real, fake)

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        if "perplexity" not in means:  # no step was taken since the last look
            return {}
        codebooks, accuracy = self.network.quantizer.codebooks, means.get("discriminator_accuracy", 0.0)
        return {
            "input outside [-1, 1]": diagnostics.input_out_of_range(means.get("outside", 0.0)),
            "flat reconstructions": diagnostics.flat_reconstructions(means["variance"], means["clip_variance"]),
            "codes collapse": diagnostics.codes_collapse(means["perplexity"], round(means["tokens"]), codebooks),
            "discriminator dominates": diagnostics.discriminator_dominates(accuracy),
        }

    @cached_property
    def validation_clips(self) -> Tensor:
        """uint8 [N, T, H, W, 3]"""
        return torch.stack([torch.from_numpy(clip) for clip in self.clips.for_validation()])

    def validate(self, team: Team) -> dict[str, float]:
        """Each process takes every world-th clip; the figures are those of all clips, each counted once."""
        judged = ReconstructionMetrics.none(self.network.quantizer.codebooks)
        for numbers in torch.split(shares(len(self.validation_clips), team.rank, team.world), AT_ONCE):
            part = self.validation_clips[numbers % len(self.validation_clips)]
            out: Reconstruction = team.modules[TOKENIZER](to_clip(part.to(team.device)))
            own = int((numbers < len(self.validation_clips)).sum())
            judged = judged.plus(to_frames(out.clip[:own]).cpu(), part[:own], out.codes[:own])
        together = reduce(ReconstructionMetrics.joined, team.everyone(judged))
        quality, usage = together.totals.quality(), together.usage
        return {
            "psnr": quality.psnr,
            "psnr_pooled": quality.psnr_pooled,
            "ssim": quality.ssim,
            "flicker": quality.flicker,
            "code_use": usage.share,
            "code_use_reachable": usage.reachable_share,
            "perplexity": usage.perplexity,
        }

    def draw_samples(self, team: Team, place: Path) -> None:
        clips = self.validation_clips[:DRAWN]
        out: Reconstruction = team.modules[TOKENIZER](to_clip(clips.to(team.device)))
        if team.rank == 0:
            draw_pairs(clips.numpy(), to_frames(out.clip).cpu().numpy(), self.config.data.fps, place)

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        phase = self.config.phases[-1]
        clips = ClipSpec(phase.height, phase.width, self.config.data.fps, phase.frames)
        return tokenizer_files(self.config.tokenizer, clips, weights[TOKENIZER], self.card())

    def card(self) -> str:
        facts = "\n".join(f"- {name}: {value}" for name, value in self.figures().items())
        made = f"Trained by `videogen train tokenizer` on `{self.config.data.train.name}`."
        return f"# A video tokenizer\n\n{made}\n\n{facts}\n"

    def figures(self) -> dict[str, str]:
        phase, fps, side = self.config.phases[-1], self.config.data.fps, self.network.size_multiple
        spec = self.network.spec(phase.height, phase.width)
        pixels = spec.frames_per_latent * phase.height * phase.width
        grid = " x ".join(map(str, spec.groups[0].shape))
        return {
            "compression": f"{side} x {side} in space, {spec.frames_per_latent} in time",
            "codes": f"{math.prod(spec.codebooks):,} ({spec.bits:.2f} bits a token)",
            "tokens a latent frame": f"{spec.tokens} ({grid})",
            "tokens a second of video": f"{spec.tokens * fps / spec.frames_per_latent:.0f} at {fps:g} frames a second",
            "bits a pixel": f"{spec.bits * spec.tokens / pixels:.4f} (raw video: 24)",
            **{f"parameters of the {name}": f"{count(part):,}" for name, part in self.parts()},
        }

    def parts(self) -> list[tuple[str, nn.Module]]:
        critic = [("discriminator", self.players[DISCRIMINATOR].module)] if DISCRIMINATOR in self.players else []
        return [("encoder", self.network.encoder), ("decoder", self.network.decoder), *critic]


def weights_of(wanted: TokenizerTrainingConfig, fresh: CNNTokenizer) -> dict[str, Tensor]:
    """The weights of the model that the configuration begins with; UsageError if it is built otherwise.

    Where only the decoder is ever trained, it may be built otherwise: one of the same widths with more blocks begins by
    painting what the smaller one did, any other with its `fresh` weights.
    """
    config, path = wanted.tokenizer, wanted.begin_with
    assert path is not None
    with beginning():
        model = load_tokenizer(path)
    given = dict(model.network.state_dict())
    others = {f.name for f in fields(config) if getattr(model.config, f.name) != getattr(config, f.name)}
    if model.config.encoding == config.encoding and others.isdisjoint(DECODER_FIELDS):
        return given
    if model.config.encoding == config.encoding and wanted.phases[0].decoder_only:
        decoder = {name: weights for name, weights in fresh.state_dict().items() if name.startswith(DECODER_WEIGHTS)}
        grown = grown_from(given, model.config, config, decoder)
        return {name: weights for name, weights in given.items() if not name.startswith(DECODER_WEIGHTS)} | grown
    named = ", ".join(sorted(others - {"spread_weight"}))
    raise UsageError(f"begin_with names {path}, which differs from this configuration in {named}")


def grown_from(
    given: Mapping[str, Tensor], theirs: TokenizerConfig, ours: TokenizerConfig, fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A decoder of ours out of one that has fewer blocks: those that are new add nothing yet."""
    fewer = all(old <= new for old, new in zip(theirs.decoder_blocks, ours.decoder_blocks, strict=True))
    if theirs.decoder_widths != ours.decoder_widths or not fewer:
        return dict(fresh)
    before, now = {layer: place for place, layer in enumerate(decoder_layers(theirs))}, decoder_layers(ours)
    grown, layers = {}, f"{DECODER_WEIGHTS}layers."
    for name, weights in fresh.items():
        place, rest = name.removeprefix(layers).split(".", 1)
        old = before.get(now[int(place)])
        new = torch.zeros_like(weights) if rest.startswith("time.") else weights
        grown[name] = new if old is None else given[f"{layers}{old}.{rest}"]
    return grown


def sent(clips_BTHWC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """To a GPU from pinned memory, while it is still busy with what came before."""
    clips = torch.from_numpy(clips_BTHWC)
    return clips.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else clips.to(device)


def shares(count: int, rank: int, world: int) -> Tensor:
    """Every world-th number from `rank` on: equally many for each process, so the last ones may lie beyond `count`.

    All processes have to call a sharded network equally often.
    """
    return torch.arange(rank, -(-count // world) * world, world)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def looks(clip: Tensor, out: Reconstruction, codebooks: Sequence[int]) -> dict[str, Tensor]:
    """Numbers that alarms look at."""
    return {
        "outside": diagnostics.share_out_of_range(clip),
        "clip_variance": diagnostics.within_frame_variance(clip),
        "variance": diagnostics.within_frame_variance(out.clip),
        "perplexity": batch_perplexity(out.codes, codebooks),
        "tokens": torch.tensor(float(out.codes.shape[:-1].numel()), device=clip.device),
    }
