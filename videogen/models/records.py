"""Models that are ready for use: no gradients, evaluation mode, on their device."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from interfaces.tokenizer import ConditionalTokenizer, State, VideoTokenizer
from interfaces.tokens import TokenSpec
from videogen.clip_spec import ClipSpec
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from prior.network import PriorNetwork
    from videogen.conditioning import Conditioner


class TokenizerModule(VideoTokenizer, Protocol):
    """A `VideoTokenizer` that is an nn.Module with a configuration."""

    config: Any

    def parameters(self) -> "Iterator[nn.Parameter]": ...

    def named_parameters(self) -> "Iterator[tuple[str, nn.Parameter]]": ...

    def state_dict(self) -> "dict[str, Tensor]": ...

    def to(self, *args: Any, **kwargs: Any) -> Any: ...


class HasParameters(Protocol):
    def parameters(self) -> "Iterator[Tensor]": ...


def count_parameters(module: HasParameters) -> int:
    return sum(weights.numel() for weights in module.parameters())


@dataclass(frozen=True, eq=False)
class TokenizerModel:
    """A tokenizer and the clips that it was trained on."""

    network: TokenizerModule
    clips: ClipSpec
    fingerprint: str  # of all that decides codes: two tokenizers that differ in their decoders alone share it
    path: Path
    described: Mapping[str, Any]  # its config.json, unchanged
    conditioner: "Conditioner | None" = None  # of the captions that its decoder is given, if it is given any

    @property
    def config(self) -> Any:
        return self.network.config

    @property
    def device(self) -> "torch.device":
        return self.network.device

    @property
    def spec(self) -> TokenSpec:
        """The tokens of a latent frame of the clips that it was trained on."""
        return self.spec_of(self.clips.height, self.clips.width)

    def spec_of(self, height: int, width: int) -> TokenSpec:
        """The tokens of a latent frame of this frame size; ValueError for a size that it cannot take."""
        return self.network.spec(height, width)

    @property
    def prefixes(self) -> tuple[int, ...]:
        """The numbers of first tokens to look at where any number of them decodes, all of them last; else none."""
        return tuple(getattr(getattr(self.config, "layout", None), "prefixes", ()))

    def begin_decoding(self, captions: Sequence[str]) -> State:
        """The state of a decoder that is given these captions, one for each clip; None, a new stream, if it takes none.

        A blank caption tells it nothing.
        """
        return self.with_captions(None, captions)

    def with_captions(self, state: State, captions: Sequence[str]) -> State:
        """The same stream, given these captions from the next latent frame on; unchanged if the decoder takes none."""
        if self.conditioner is None:
            return state
        network = cast(ConditionalTokenizer, self.network)
        return network.with_condition(state, self.conditioner(captions).to(self.device))

    def check_causal(self) -> None:
        """UsageError if it cannot stream: such a tokenizer is for comparisons, not for videos or token sets."""
        if not self.network.causal:
            raise UsageError(f"{self.path}: its tokenizer is not causal, so it cannot stream; train with causal: true")

    def parameters_of(self, part: str) -> "list[nn.Parameter]":
        """Those whose names begin with `part`, such as decoder."""
        return [weights for name, weights in self.network.named_parameters() if name.startswith(f"{part}.")]


@dataclass(frozen=True, eq=False)
class PriorModel:
    """A prior, the tokenizer of its tokens, and the clips that the prior was trained on."""

    network: "PriorNetwork"
    conditioner: "Conditioner | None"
    clips: ClipSpec
    tokenizer: TokenizerModel
    path: Path
    fingerprint: str  # of all files
    generation: Mapping[str, Any] | None  # its generation_config.json, unchanged, if there is one
    prompt_vocabulary: PromptVocabulary | None = None  # if the model has one
    computes_on: "torch.device | None" = None  # for weights that are on their device only while they are used

    @property
    def config(self) -> Any:
        return self.network.config

    @property
    def device(self) -> "torch.device":
        return self.network.device if self.computes_on is None else self.computes_on

    @property
    def spec(self) -> TokenSpec:
        """The tokens of a latent frame of the clips that the prior was trained on."""
        return self.network.spec

    @property
    def takes_prompts(self) -> bool:
        """Whether prompts change a video: by the prior, or by a decoder that is given them."""
        return self.conditioner is not None or self.tokenizer.conditioner is not None

    @property
    def writes_captions(self) -> bool:
        """Whether the prior also writes captions of clips."""
        return getattr(self.config, "captions", False)

    @property
    def latent_frames(self) -> int:
        """Latent frames of a clip that the prior was trained on."""
        return self.spec.latent_frames(self.clips.frames)

    def with_decoder(self, tokenizer: TokenizerModel) -> "PriorModel":
        """This model with the decoder of another tokenizer that encodes every clip to the same codes."""
        if tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UsageError(
                f"{tokenizer.path}: encodes to other tokens than the tokenizer of {self.path}; train its decoder with "
                "init_from and decoder_only, which keep the tokens"
            )
        return replace(self, tokenizer=tokenizer)
