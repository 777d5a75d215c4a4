"""A PixelCNN as a prior: token by token in raster order, conditioned on the past frames and the text."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.attention import Kernel
from prior.blocks import init_weights
from prior.context import ContextEmbedding
from prior.embedding import Embedding
from prior.heads import make_head
from prior.heads.base import TokenProposal
from prior.model import PriorBatch
from prior.network import PriorNetwork, one_frame
from prior.pixelcnn.config import PixelCNNConfig
from prior.pixelcnn.layers import GatedLayer, PastReader


class PixelCNNPast(NamedTuple):
    """The window of a batch of streams; `commit` and `advance` mutate it in place."""

    frames_BCThw: Tensor  # embedded, the oldest first; before the stream begins: a learned vector
    condition_BChw: Tensor  # what the next latent frame is conditioned on
    text_BC: Tensor
    frames: Tensor  # int64 [], on the CPU: how many latent frames have been committed
    spec: TokenSpec


class PixelCNN(PriorNetwork):
    """A token knows its window of past frames, and of its own frame the tokens before it."""

    def __init__(self, config: PixelCNNConfig):
        super().__init__()
        self.config: PixelCNNConfig = config
        self.embedding = Embedding(config, config.width)
        self.context = None if config.context is None else ContextEmbedding(config.context, config.width)
        self.past = PastReader(config.width, config.window, config.context_length)
        self.layers = nn.ModuleList(GatedLayer(config.width, number == 0) for number in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        self.head = make_head(config.head, config.spec, config.width)
        init_weights(self, config.layers)

    # Training

    def features(
        self, batch: PriorBatch, kernel: Kernel = "auto", recompute: bool = False, blocks: Any = None
    ) -> Tensor:
        everywhere = torch.ones((), dtype=torch.bool, device=batch.clean.device)
        tokens_BTNC = self.embedding.tokens(
            batch.clean, everywhere
        )  # as in the Llama, all weights take part in the loss
        frames = self.frames_of(tokens_BTNC, batch.spec, batch.control)
        past = torch.cat([self.start(len(frames), batch.spec), frames[:, :, :-1]], 2)
        text_BC = self.text_of(batch.text, batch.noise_B)
        condition = self.past(past) + text_BC[:, None, :, None, None]
        condition = condition + self.control_of(batch.control, condition)
        own = self.grids(tokens_BTNC, batch.spec).transpose(1, 2)
        features = self.run(own.flatten(0, 1), condition.flatten(0, 1), recompute)
        return features.view(*batch.targets.shape[:3], -1)

    def run(self, own_BChw: Tensor, condition_BChw: Tensor, recompute: bool = False) -> Tensor:
        """The embedded tokens of a latent frame and its condition, to features [B, N, C]."""
        vertical, horizontal = own_BChw, own_BChw
        for layer in self.layers:
            if recompute:
                vertical, horizontal = checkpoint(layer, vertical, horizontal, condition_BChw, use_reentrant=False)
            else:
                vertical, horizontal = layer(vertical, horizontal, condition_BChw)
        # The vertical stack ends here; as above, the weights of its last layer take part in the loss.
        everywhere = torch.ones((), dtype=torch.bool, device=horizontal.device)
        horizontal = torch.where(everywhere, horizontal, vertical)
        features: Tensor = self.norm(horizontal.flatten(2).transpose(1, 2))
        return features

    def grids(self, x_BTNC: Tensor, spec: TokenSpec) -> Tensor:
        """[B, C, T, h, w]"""
        return torch.unflatten(x_BTNC, 2, grid_of(spec)).permute(0, 4, 1, 2, 3)

    def frames_of(self, x_BTNC: Tensor, spec: TokenSpec, control_BT: Tensor | None) -> Tensor:
        """Whole latent frames as later ones read them [B, C, T, h, w]: with their controls."""
        return self.grids(self.embedding.of_frames(x_BTNC, (spec.tokens,), control_BT).view(x_BTNC.shape), spec)

    def start(self, batch: int, spec: TokenSpec) -> Tensor:
        """The window before the first frame [B, C, window, h, w]."""
        return self.embedding.start.view(1, -1, 1, 1, 1).expand(batch, -1, self.config.window, *grid_of(spec))

    def text_of(self, text: Text | None, noise_B: Tensor) -> Tensor:
        """[B, C]"""
        if self.context is None:
            return self.norm.weight.new_zeros(len(noise_B), self.config.width)
        return self.past.of_text(self.embed_context(text, noise_B, len(noise_B)))

    def control_of(self, control_BT: Tensor | None, like_BTChw: Tensor) -> Tensor:
        """The controls of latent frames, as a part of their conditions [B, T, C, 1, 1]."""
        if self.embedding.control is None:
            return like_BTChw.new_zeros(())
        vectors: Tensor = self.embedding.control(control_BT, like_BTChw.shape[:2])
        return vectors[..., None, None]

    # Streaming

    @torch.no_grad()
    def begin(
        self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0
    ) -> PixelCNNPast:
        spec = self.spec if spec is None else spec
        self.check_begin(spec)
        noise_B = torch.full((batch,), history_noise, device=self.device, dtype=self.norm.weight.dtype)
        text_BC = self.text_of(text, noise_B)
        with torch.inference_mode(False):  # writable in and out of inference mode
            frames = self.start(batch, spec).clone()
            past = PixelCNNPast(frames, frames[:, :, 0].clone(), text_BC.clone(), torch.tensor(0), spec)
        past.condition_BChw.copy_(self.condition(past))
        return past

    def condition(self, past: PixelCNNPast) -> Tensor:
        """That of the next latent frame, but for its control [B, C, h, w]."""
        read: Tensor = self.past(past.frames_BCThw)[:, 0]
        return read + past.text_BC[..., None, None]

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: PixelCNNPast,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Tensor]:
        self.check(codes_BNK, past)
        tokens_B1NC = self.embedding.tokens(codes_BNK, known_BN).unsqueeze(1)
        frame_BC1hw = self.frames_of(tokens_B1NC, past.spec, one_frame(control))
        proposal = TokenProposal(self.features_of(tokens_B1NC, past, control), self.head)
        return (proposal if positions_BM is None else proposal.at(positions_BM)), frame_BC1hw

    def features_of(
        self, tokens_B1NC: Tensor, past: PixelCNNPast, control: Tensor | None, rows: int | None = None
    ) -> Tensor:
        """Features [B, N, C] of the next latent frame, or of its first rows: later ones do not matter to them."""
        condition_B1Chw = past.condition_BChw.unsqueeze(1)
        condition_B1Chw = condition_B1Chw + self.control_of(one_frame(control), condition_B1Chw)
        own_BChw = self.grids(tokens_B1NC, past.spec)[:, :, 0]
        return self.run(own_BChw[:, :, :rows], condition_B1Chw[:, 0, :, :rows])

    @torch.no_grad()
    def commit(self, past: PixelCNNPast, present: Tensor) -> PixelCNNPast:
        past.frames_BCThw.copy_(torch.cat([past.frames_BCThw[:, :, 1:], present], 2))
        past.condition_BChw.copy_(self.condition(past))
        return past._replace(frames=past.frames + 1)

    @torch.no_grad()
    def advance(
        self, codes_BNK: Tensor, past: PixelCNNPast, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[PixelCNNPast, TokenProposal]:
        self.check(codes_BNK, past)
        tokens_B1NC = self.embedding.tokens(codes_BNK).unsqueeze(1)
        past = self.commit(past, self.frames_of(tokens_B1NC, past.spec, one_frame(control)))
        nothing = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        return past, self.propose(codes_BNK, nothing, past, next_control)[0]

    @torch.no_grad()
    def next_token(self, codes_BnK: Tensor, past: PixelCNNPast, control: Tensor | None = None) -> TokenProposal:
        number = codes_BnK.shape[1]
        codes_BNK = past.spec.empty(len(codes_BnK), 1, codes_BnK.device)[:, 0]
        codes_BNK[:, :number] = codes_BnK
        tokens_B1NC = self.embedding.tokens(codes_BNK).unsqueeze(1)
        features = self.features_of(tokens_B1NC, past, control, rows=1 + number // grid_of(past.spec)[1])
        return TokenProposal(features[:, number : number + 1], self.head)

    def streams(self, past: PixelCNNPast) -> int:
        return len(past.text_BC)

    def visible(self, past: PixelCNNPast) -> list[Tensor]:
        return [each.clone() for each in self.memory(past)]

    def memory(self, past: PixelCNNPast) -> list[Tensor]:
        return [past.frames_BCThw, past.condition_BChw, past.text_BC]


def grid_of(spec: TokenSpec) -> tuple[int, int]:
    """Rows and columns; a line is one row."""
    height, width = (1, *spec.groups[0].shape)[-2:]
    return height, width
