"""What all learned codebooks share: V codes of D numbers, the nearest of them, and how they move.

A step of training:

    set_step -> quantize: codes, and statistics of the batch -> update: first codes, moving averages, revival

Tensors that only training needs are in `learning`: checkpoints hold them, models do not.

Legend: N.. any leading dimensions, V codes, D dimensions, M latents that `update` gets to see.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.first_codes import FirstCodes, KMeansCodes, OnlineCodes
from tokenizer.quantize.nearest import counts_by_code, nearest_codes, sums_by_code
from tokenizer.quantize.revival import Revival, Reviver

MOST_LATENTS = 16384  # that a micro-batch gives to `update`


class LearnedCodebook(Quantizer):
    """The quantized latent is the nearest code. With `normalized`, latents and codes have norm 1.

    The codebook is a parameter if it is learned by gradient, otherwise a buffer.
    """

    codebook: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        by_gradient: bool,
        normalized: bool = False,
        first: Literal["random", "kmeans", "online"] = "random",
        first_samples: int = 0,
        revival: Revival | None = None,
    ):
        super().__init__(dim, (size,))
        self.size, self.normalized = size, normalized
        codes_VD = self.in_space(torch.randn(size, dim))
        if by_gradient:
            self.codebook = nn.Parameter(codes_VD)
        else:
            self.register_buffer("codebook", codes_VD)
        self._first, self._first_samples, self._revival = first, first_samples or 4 * size, revival
        self.learning: Learning | None = None
        self._step = 0
        self._needs: Literal["random", "worst"] | None = None
        self.register_load_state_dict_pre_hook(self._start_learning_anew)  # type: ignore[no-untyped-call]

    def begin_training(self) -> None:
        if self.learning is None:
            self.learning = self.make_learning(self.codebook).to(self.codebook.device)
        self._needs = self._needs_latents()

    def make_learning(self, codebook_VD: Tensor) -> "Learning":
        """The tensors that training begins with from these codes."""
        first: FirstCodes | None = None
        if self._first == "kmeans":
            first = KMeansCodes(self._first_samples, self.dim)
        elif self._first == "online":
            first = OnlineCodes()
        return Learning(first, None if self._revival is None else Reviver(self._revival, self.size, self.dim))

    def _start_learning_anew(self, _: nn.Module, state: dict[str, Tensor], prefix: str, *others: object) -> None:
        """Weights of a model, without the tensors of training, are where training goes on: first codes are found."""
        own = f"{prefix}learning."
        if self.learning is None or f"{prefix}codebook" not in state or any(name.startswith(own) for name in state):
            return
        learning = self.make_learning(state[f"{prefix}codebook"])
        if learning.first is not None:
            learning.first.ready.fill_(True)
        state |= {own + name: tensor for name, tensor in learning.state_dict().items()}

    def set_step(self, step: int) -> None:
        self._step = step
        if self.learning is not None and self.learning.first is not None:
            self.learning.first.look()
        self._needs = self._needs_latents()  # not in `quantize`: torch would compile it anew for each number of a step

    @property
    def looks_for_codes(self) -> bool:
        return self.learning is not None and self.learning.first is not None and not self.learning.first.is_ready

    def in_space(self, vectors_ND: Tensor) -> Tensor:
        """Vectors as they are compared: of norm 1 if this codebook is normalized."""
        return F.normalize(vectors_ND, dim=-1, eps=1e-6) if self.normalized else vectors_ND  # bounds the gradient

    @property
    def all_codes(self) -> Tensor:
        """[V, D], with a gradient if they are learned by gradient."""
        return self.in_space(self.codebook)

    def project(self, latents_ND: Tensor) -> Tensor:
        return self.in_space(at_least_float32(latents_ND))

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        codes_N: Tensor = nearest_codes(projected_ND, self.all_codes)
        return codes_N.unsqueeze(-1)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        quantized_ND: Tensor = F.embedding(codes_NK[..., 0], self.all_codes)
        return quantized_ND.float()

    # What `update` needs of a batch

    def _needs_latents(self) -> Literal["random", "worst"] | None:
        if self.learning is None:
            return None
        if self.learning.first is not None and self.looks_for_codes:
            return self.learning.first.needs
        return None if self.learning.reviver is None else self.learning.reviver.needs(self._step)

    def statistics(self, projected_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        if self.learning is None or not self.learning.needs_counts:
            return {}
        if not self.learning.needs_sums:
            return {"counts": counts_by_code(codes_NK, self.size)}
        counts_V, sums_VD = sums_by_code(projected_ND.float(), codes_NK, self.size)
        return {"counts": counts_V, "sums": sums_VD}

    def samples(self, projected_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        if self._needs is None:
            return {}
        latents_MD = projected_ND.reshape(-1, self.dim).float()
        errors_M = (latents_MD - self.lookup(codes_NK).detach().reshape(-1, self.dim)).square().sum(1)
        if self._needs == "worst":
            chosen = errors_M.topk(min(MOST_LATENTS, len(errors_M))).indices.sort().values
        else:
            chosen = torch.arange(0, len(errors_M), -(-len(errors_M) // MOST_LATENTS), device=errors_M.device)
        return {"latents": latents_MD[chosen], "errors": errors_M[chosen]}

    # What happens after the step

    @torch.no_grad()
    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        learning = self.learning
        assert learning is not None, "begin_training comes before the first step"
        codes_VD, statistics = self.all_codes.detach(), in_one_order(statistics)
        if learning.first is not None and self.looks_for_codes:
            codes_VD, new_V = learning.first.update(codes_VD, statistics, self._step)
        else:
            codes_VD = self.moved(codes_VD, statistics)
            new_V = torch.zeros(self.size, dtype=torch.bool, device=codes_VD.device)
            if learning.reviver is not None:
                codes_VD, new_V = learning.reviver.update(codes_VD, statistics, self._step)
        self.codebook.copy_(torch.where(new_V[:, None], self.in_space(codes_VD), self._kept(codes_VD)))
        self.replaced(new_V)
        return {"codebook": new_V}

    def _kept(self, codes_VD: Tensor) -> Tensor:
        """Codes that are not new: where gradients moved them, at their own norm, or where statistics did."""
        return self.codebook if isinstance(self.codebook, nn.Parameter) else self.in_space(codes_VD)

    def moved(self, codes_VD: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """The codes after a step of learning from statistics."""
        return codes_VD

    def replaced(self, new_V: Tensor) -> None:
        """Called after these codes have got a new place."""


def in_one_order(statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Samples ordered by their values: choices among them do not depend on which process had which clip."""
    if "latents" not in statistics:
        return dict(statistics)
    latents_MD = statistics["latents"]
    direction_D = torch.arange(1, latents_MD.shape[1] + 1, device=latents_MD.device).sqrt()
    order_M = (latents_MD @ direction_D).argsort(stable=True)
    return {**statistics, "latents": latents_MD[order_M], "errors": statistics["errors"][order_M]}


class Learning(nn.Module):
    """What only training needs."""

    needs_sums = False  # of each code's latents

    def __init__(self, first: FirstCodes | None, reviver: Reviver | None):
        super().__init__()
        self.first, self.reviver = first, reviver

    @property
    def needs_counts(self) -> bool:
        return self.reviver is not None
