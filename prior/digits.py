"""Tokens in and out of the blocks: the embedding of an id is the sum of its digits', and digits are read one by one."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prior.linear import Linear
from prior.vocabulary import Vocabulary


class Embedding(nn.Module):
    """Ids to vectors; the mask, and the start before any token, have vectors of their own."""

    def __init__(self, vocabulary: Vocabulary, width: int):
        super().__init__()
        self.vocabulary = vocabulary
        self.tables = nn.ModuleList(nn.Embedding(base, width) for base in vocabulary.digits)
        self.masked = nn.Parameter(torch.randn(width) * 0.02)
        self.start = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [...] to [..., C]; an id of -1 is the start."""
        digits = self.vocabulary.to_digits(ids.clamp_min(0)).unbind(-1)
        vectors: Tensor = sum(table(digit) for table, digit in zip(self.tables, digits, strict=True))
        vectors = torch.where((ids == self.vocabulary.mask).unsqueeze(-1), self.masked, vectors)
        return torch.where((ids < 0).unsqueeze(-1), self.start, vectors)


class Head(nn.Module):
    """Logits of a digit given the digits before it: the chain rule inside a token, exact for any vocabulary.

    The first digit is read off the features by a matrix, as in any Llama. A later one is read off features that a small
    gate has mixed with the vectors of the digits so far.
    """

    def __init__(self, vocabulary: Vocabulary, width: int):
        super().__init__()
        self.vocabulary = vocabulary
        later = vocabulary.digits[1:]
        self.read = nn.ModuleList(Linear(width, base, bias=False) for base in vocabulary.digits)
        self.known = nn.ModuleList(nn.Embedding(base, width) for base in vocabulary.digits[:-1])
        self.mix = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in later)

    def forward(self, features: Tensor, known_digits: Tensor) -> Tensor:
        """features [..., C] and int64 [..., d], the first d digits, to the logits [..., base] of the next one."""
        place = known_digits.shape[-1]
        if place == 0:
            first: Tensor = self.read[0](features).float()
            return first
        told = sum(self.known[i](known_digits[..., i]) for i in range(place))
        gate, up = self.mix[place - 1](features + told).chunk(2, -1)
        logits: Tensor = self.read[place](F.silu(gate) * up + features).float()
        return logits

    def answers(self, features: Tensor, ids: Tensor, smoothing: float = 0.0) -> "Answers":
        """What the model makes of the truth, ids int64 [...]; smoothing is towards the uniform distribution."""
        digits = self.vocabulary.to_digits(ids)
        nats, loss = torch.zeros_like(ids, dtype=torch.float32), torch.zeros_like(ids, dtype=torch.float32)
        right = torch.ones_like(ids, dtype=torch.bool)
        for place in range(len(self.vocabulary.digits)):
            truth = digits[..., place]
            guesses = self(features, digits[..., :place]).log_softmax(-1)
            cost = -guesses.gather(-1, truth.unsqueeze(-1)).squeeze(-1)
            right = right & (guesses.detach().argmax(-1) == truth)
            nats = nats + cost.detach()
            loss = loss + (cost if smoothing == 0 else (1 - smoothing) * cost - smoothing * guesses.mean(-1))
        return Answers(loss, nats, right)


class Answers(NamedTuple):
    """Of each token [...]: what is to be minimised, the nats that the truth costs, whether it was the top guess."""

    loss: Tensor
    nats: Tensor
    right: Tensor
