"""transformers' LlamaForCausalLM at the size of a prior, as a baseline.

It keeps its past in a DynamicCache; an additive mask of zeros makes its attention bidirectional within a latent frame.
"""

from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import DeviceSetting
from prior.config import PriorConfig


class LlamaBaseline:
    def __init__(self, config: PriorConfig, where: DeviceSetting):
        from transformers import LlamaConfig, LlamaForCausalLM

        (vocabulary,) = config.spec.codebooks
        self.where, self.vocabulary = where, vocabulary
        shape = LlamaConfig(
            vocab_size=vocabulary + 1,  # and the mask
            hidden_size=config.width,
            intermediate_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=2**20,
            tie_word_embeddings=False,
        )
        shape._attn_implementation = "sdpa"
        self.model: Any = LlamaForCausalLM(shape).to(where.device, where.dtype)  # type: ignore[arg-type]

    def step(self, ids_BS: Tensor) -> None:
        """Forward and backward of a causal training step."""
        self.model.zero_grad()
        self.model(input_ids=ids_BS, labels=ids_BS, use_cache=False).loss.backward()

    @torch.no_grad()
    def past_of(self, tokens: int) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache()
        self.model(input_ids=self.random_ids(tokens), past_key_values=cache, use_cache=True)
        return cache

    @torch.no_grad()
    def propose(self, ids_BN: Tensor, cache: Any) -> Tensor:
        """Logits of tokens that see the past and each other; the past stays unchanged."""
        past, tokens = cache.get_seq_length(), ids_BN.shape[1]
        shape = (1, 1, tokens, past + tokens)
        no_mask = torch.zeros(shape, device=self.where.device, dtype=self.where.dtype)
        logits: Tensor = self.model(
            input_ids=ids_BN, past_key_values=cache, attention_mask=no_mask, use_cache=True
        ).logits
        cache.crop(-tokens)  # a negative length drops as many
        assert cache.get_seq_length() == past
        return logits

    def random_ids(self, tokens: int) -> Tensor:
        return torch.randint(self.vocabulary, (1, tokens), device=self.where.device)
