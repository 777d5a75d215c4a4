"""What priors of all kinds share: how they are trained, and what a stream needs of them."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.attention import Kernel
from prior.config import PriorInputs
from prior.heads.base import Head, TokenLosses, TokenProposal


class PriorNetwork(nn.Module):
    """Implements `interfaces.prior.AutoregressivePrior`; it holds only weights, a stream's state is its past.

    A past is a NamedTuple with `frames` (int64 [], on the CPU: how many latent frames have been committed) and `spec`.
    """

    config: Any  # a PriorInputs with `objective`, `window` and `head`
    head: Any
    norm: nn.RMSNorm  # of the features
    context: nn.Module | None  # what embeds text and the noise rate

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def spec(self) -> TokenSpec:
        spec: TokenSpec = self.config.spec
        return spec

    @property
    def likelihood(self) -> bool:
        """Whether `TokenLosses.nats` are nats: a head for continuous tokens may have a loss only."""
        return bool(self.config.head.likelihood)

    @property
    def mask_noise(self) -> int:
        """How many random numbers a masked token is given."""
        return int(self.config.mask_noise)

    def with_mask_noise(self, past: Any, noise_BNR: Tensor) -> Any:
        """The past as it is, for a prior that takes none."""
        return past

    @property
    def autoregressive(self) -> bool:
        return bool(self.config.objective == "autoregressive")

    def forward(
        self,
        batch: Any,
        kernel: Kernel = "auto",
        smoothing: float = 0.0,
        recompute: bool = False,
        blocks: Any = None,
    ) -> TokenLosses:
        """The losses of every token of the targets [B, T, N] of a PriorBatch; a compiled model needs `blocks`."""
        head: Head = self.head
        return head.losses(self.features(batch, kernel, recompute, blocks), batch.targets, smoothing)

    @abstractmethod
    def features(self, batch: Any, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None) -> Tensor:
        """[B, T, N, C]; `recompute` turns on activation checkpointing."""

    def block_mask_for(self, batch: Any, kernel: Kernel) -> Any:
        """The argument `blocks` of a compiled `forward`; None for a network without attention."""
        return None

    def no_text(self, batch: int) -> Text:
        """The text of clips without a caption."""
        inputs: PriorInputs = self.config
        context, device = inputs.context, self.device
        assert context is not None
        mask = torch.zeros(batch, context.length, dtype=torch.bool, device=device)
        if context.features is None:
            return Text(torch.zeros_like(mask, dtype=torch.int64), mask)
        return Text(torch.zeros(batch, context.length, context.features, device=device), mask)

    def embed_context(self, text: Text | None, noise_B: Tensor, batch: int) -> Tensor:
        """The context as vectors [B, L, C]; None is the text of clips without a caption."""
        assert self.context is not None
        embedded: Tensor = self.context(text if text is not None else self.no_text(batch), noise_B)
        return embedded

    def check_begin(self, spec: TokenSpec) -> None:
        if not spec.same_kind(self.spec):
            raise ValueError(f"a prior for {self.spec} cannot begin a stream of {spec}")

    def check(self, codes_BNK: Tensor, past: Any) -> None:
        past.spec.check(codes_BNK)
        if len(codes_BNK) != self.streams(past):
            raise ValueError(f"codes have {len(codes_BNK)} streams; this past has {self.streams(past)}")

    # A stream; see interfaces.prior

    @abstractmethod
    def begin(
        self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0
    ) -> Any: ...

    @abstractmethod
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Any,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Any]: ...

    @abstractmethod
    def commit(self, past: Any, present: Any) -> Any: ...

    @abstractmethod
    def advance(
        self, codes_BNK: Tensor, past: Any, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Any, TokenProposal]: ...

    @abstractmethod
    def next_token(self, codes_BnK: Tensor, past: Any, control: Tensor | None = None) -> TokenProposal: ...

    @abstractmethod
    def streams(self, past: Any) -> int:
        """The number of streams of a past."""

    @abstractmethod
    def visible(self, past: Any) -> list[Tensor]:
        """Copies of all of a past that later proposals depend on; laws compare them."""

    @abstractmethod
    def memory(self, past: Any) -> list[Tensor]:
        """The tensors of a past that take memory."""


def shifted(x_BSC: Tensor, first_BC: Tensor) -> Tensor:
    """Moves each token to the next position in decode order."""
    return torch.cat([first_BC.unsqueeze(1), x_BSC[:, :-1]], 1)


def one_frame(control: Tensor | None) -> Tensor | None:
    """[B, ...] to [B, 1, ...]."""
    return None if control is None else control.unsqueeze(1)
