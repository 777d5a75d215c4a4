"""Models that are ready for use: no gradients, evaluation mode, on their device."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interfaces.tokens import TokenSpec
from videogen.clip_spec import ClipSpec
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import UsageError

if TYPE_CHECKING:
    import torch

    from videogen.conditioning import Conditioner


@dataclass(frozen=True, eq=False)
class TokenizerModel:
    """A tokenizer and the clips that it was trained on."""

    network: Any  # an nn.Module that keeps `interfaces.tokenizer.VideoTokenizer`
    clips: ClipSpec
    fingerprint: str  # of all that decides codes: two tokenizers that differ in their decoders alone share it
    path: Path
    described: Mapping[str, Any]  # its config.json, unchanged

    @property
    def config(self) -> Any:
        return self.network.config

    @property
    def device(self) -> "torch.device":
        device: torch.device = self.network.device
        return device

    @property
    def spec(self) -> TokenSpec:
        """The tokens of a latent frame of the clips that it was trained on."""
        return self.spec_of(self.clips.height, self.clips.width)

    def spec_of(self, height: int, width: int) -> TokenSpec:
        """The tokens of a latent frame of this frame size; ValueError for a size that it cannot take."""
        spec: TokenSpec = self.network.spec(height, width)
        return spec


@dataclass(frozen=True, eq=False)
class PriorModel:
    """A prior, the tokenizer of its tokens, and the clips that the prior was trained on."""

    network: Any  # an nn.Module that keeps `interfaces.prior.FramePrior`
    conditioner: "Conditioner | None"
    clips: ClipSpec
    tokenizer: TokenizerModel
    path: Path
    fingerprint: str  # of all files
    generation: Mapping[str, Any] | None  # its generation_config.json, unchanged, if there is one
    prompt_vocabulary: PromptVocabulary | None = None  # if the model has one

    @property
    def config(self) -> Any:
        return self.network.config

    @property
    def device(self) -> "torch.device":
        device: torch.device = self.network.device
        return device

    @property
    def spec(self) -> TokenSpec:
        """The tokens of a latent frame of the clips that the prior was trained on."""
        spec: TokenSpec = self.network.spec
        return spec

    @property
    def latent_frames(self) -> int:
        """Latent frames of a clip that the prior was trained on."""
        return self.spec.latent_frames(self.clips.frames)

    def with_decoder(self, tokenizer: TokenizerModel) -> "PriorModel":
        """This model with the decoder of another tokenizer that encodes every clip to the same codes."""
        if tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UsageError(
                f"{tokenizer.path}: encodes to other tokens than the tokenizer of {self.path}; train its decoder with "
                "begin_with and decoder_only, which keep the tokens"
            )
        return replace(self, tokenizer=tokenizer)
