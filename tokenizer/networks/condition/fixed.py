"""A tokenizer whose decoder is always given the same caption, for what takes a plain tokenizer, such as the laws."""

from typing import Any

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.streaming import State


class FixedCondition:
    """Like the tokenizer, except that a stream of the decoder starts with this caption, a text of one row."""

    def __init__(self, tokenizer: LatentTokenizer, text: Text):
        self.tokenizer, self.text = tokenizer, text

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def decode(self, codes_BTNK: Tensor, spec: TokenSpec, state: State | None = None) -> tuple[Tensor, State | None]:
        return self.tokenizer.decode(codes_BTNK, spec, self._begun(len(codes_BTNK), state))

    def decode_latents(
        self, latents_BTND: Tensor, spec: TokenSpec, state: State | None = None
    ) -> tuple[Tensor, State | None]:
        return self.tokenizer.decode_latents(latents_BTND, spec, self._begun(len(latents_BTND), state))

    def decode_latents_parallel(self, latents_BTND: Tensor, spec: TokenSpec) -> Tensor:
        return self.tokenizer.decode_latents_parallel(latents_BTND, spec, self._text(len(latents_BTND)))

    def _begun(self, batch: int, state: State | None) -> State | None:
        return self.tokenizer.begin_decoding(self._text(batch)) if state is None else state

    def _text(self, batch: int) -> Text:
        return self.text.rows(torch.zeros(batch, dtype=torch.int64, device=self.text.mask.device))
