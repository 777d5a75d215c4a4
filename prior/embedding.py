"""The embedding of tokens: the sum of the embeddings of their codes."""

import torch
from torch import Tensor, nn

from prior.config import ControlConfig, PriorInputs
from prior.linear import Linear


class Embedding(nn.Module):
    """Embeds codes; masked tokens and the start of a stream have learned vectors."""

    def __init__(self, config: PriorInputs, width: int, mask_noise: int = 0):
        super().__init__()
        spec = config.spec
        self.spec = spec
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in spec.codebooks)
        self.inputs = Linear(spec.channels, width) if spec.channels is not None else None
        self.masked = nn.Parameter(torch.randn(width) * 0.02)
        self.mask_noise = Linear(mask_noise, width, bias=False) if mask_noise else None
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.group = nn.Embedding(len(spec.groups), width) if len(spec.groups) > 1 else None
        self.control = None if config.control is None else ControlEmbedding(config.control, width)

    def tokens(self, codes: Tensor, known: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Codes [..., K] to [..., C]; `known` is bool [...], None: all are known. `noise` is that of masked tokens."""
        if self.inputs is not None:
            vectors: Tensor = self.inputs(codes.to(self.masked.dtype))
        else:
            vectors = sum(table(code) for table, code in zip(self.tables, codes.unbind(-1), strict=True))
        return vectors if known is None else torch.where(known.unsqueeze(-1), vectors, self.masked_tokens(noise))

    def masked_tokens(self, noise: Tensor | None = None) -> Tensor:
        """The vector of a masked token [C], or with random numbers [..., R] one for each [..., C]."""
        if self.mask_noise is None or noise is None:
            return self.masked
        return self.masked + self.mask_noise(noise.to(self.masked.dtype))  # type: ignore[no-any-return]

    def of_frames(self, x_BTNC: Tensor, groups: tuple[int, ...], control_BT: Tensor | None) -> Tensor:
        """Adds the embeddings of the group of each token and of the control of each frame; [B, T * N, C]."""
        if self.group is not None:
            vectors = zip(torch.split(self.group.weight, 1), groups, strict=True)
            x_BTNC = x_BTNC + torch.cat([vector_1C.expand(size, -1) for vector_1C, size in vectors])
        if self.control is not None:
            x_BTNC = x_BTNC + self.control(control_BT, x_BTNC.shape[:2]).unsqueeze(2)
        elif control_BT is not None:
            raise ValueError("this prior takes no control")
        return x_BTNC.flatten(1, 2)


class ControlEmbedding(nn.Module):
    """Embeds the control of each latent frame; frames without one (-1 or NaN) have a learned vector."""

    def __init__(self, config: ControlConfig, width: int):
        super().__init__()
        self.config = config
        self.absent = nn.Parameter(torch.zeros(width))
        self.values: nn.Module
        if config.discrete is not None:
            self.values = nn.Embedding(config.discrete, width)
        else:
            assert config.floats is not None
            self.values = Linear(config.floats, width)

    def forward(self, control_BT: Tensor | None, shape: torch.Size) -> Tensor:
        """int64 [B, T] or float [B, T, floats], to [B, T, C]."""
        if control_BT is None:
            return self.absent.expand(*shape, -1)
        rest = () if self.config.floats is None else (self.config.floats,)
        if control_BT.shape != (*shape, *rest) or control_BT.is_floating_point() != bool(rest):
            expected = f"{'float' if rest else 'int64'} {[*shape, *rest]}"
            raise ValueError(f"control is {control_BT.dtype} {list(control_BT.shape)}; expected {expected}")
        absent_BT = control_BT.isnan().any(-1) if rest else control_BT < 0
        control_BT = control_BT.nan_to_num().to(self.absent.dtype) if rest else control_BT.clamp_min(0)
        return torch.where(absent_BT.unsqueeze(-1), self.absent, self.values(control_BT))
