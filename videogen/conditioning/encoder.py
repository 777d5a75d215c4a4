"""Captions through a frozen encoder of `transformers`: its last hidden states in float32, computed once and cached.

Captions are encoded one at a time and without padding, so that features do not depend on the batch or the length to the
bit; then they are padded with zeros.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.checkpoint import Content
from videogen.conditioning.base import Conditioner, normalize_text
from videogen.conditioning.cache import FeatureCache
from videogen.conditioning.config import EncoderConfig
from videogen.conditioning.loading import encoder_class, load_config, load_model, load_tokenizer
from videogen.conditioning.source import EncoderSource
from videogen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from interfaces.prior import Text


class EncoderConditioner(Conditioner):
    """Features of a frozen encoder, which is loaded at the first caption that is not cached."""

    vocabulary = None

    def __init__(self, config: EncoderConfig, source: EncoderSource, cache: Path | None = None, device: str = "cpu"):
        described = load_config(source.model)
        encoder_class(described, source.model)
        self.config, self.source, self.device, self.length = config, source, device, config.length
        self.features: int = described.hidden_size
        self.tokenizer = load_tokenizer(source.tokenizer)
        limit = getattr(described, "max_position_embeddings", None)
        if limit is not None and config.length > min(limit, self.tokenizer.model_max_length):
            most = min(limit, self.tokenizer.model_max_length)
            raise UsageError(f"length is {config.length}; the text encoder {config.model} takes {most} tokens at most")
        identity = json.dumps([source.hashes, config.length], sort_keys=True)
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()
        self.cache = FeatureCache(cache, self.features)

    def __call__(self, captions: Sequence[str]) -> "Text":
        import torch

        from interfaces.prior import Text

        content_BLF = torch.zeros(len(captions), self.length, self.features)
        mask_BL = torch.zeros(len(captions), self.length, dtype=torch.bool)
        for row, caption in enumerate(map(normalize_text, captions)):
            if caption:
                features = self._features(caption)
                content_BLF[row, : len(features)] = features
                mask_BL[row, : len(features)] = True
        return Text(content_BLF, mask_BL)

    def token_ids(self, caption: str) -> list[int]:
        return self._tokens(normalize_text(caption), None) if normalize_text(caption) else []

    def files(self) -> dict[str, Content]:
        """The place of the encoder and the hashes of its files; the weights are not copied."""
        known = {"text": asdict(self.config), "features": self.features, "sha256": dict(self.source.hashes)}
        return {"text/config.json": known}

    @cached_property
    def network(self) -> "nn.Module":
        return load_model(self.source.model).to(self.device)

    def to(self, device: str) -> None:
        self.device = device
        if "network" in self.__dict__:
            self.network.to(device)

    def _features(self, caption: str) -> "Tensor":
        key = hashlib.sha256(f"{self.fingerprint}\n{caption}".encode()).hexdigest()
        features = self.cache.get(key)
        if features is None:
            features = self._encode(caption)
            self.cache.put(key, features)
        return features

    def _encode(self, caption: str) -> "Tensor":
        import torch

        ids_1n = torch.tensor([self._tokens(caption, self.length)], device=self.device)
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, enabled=False):
            states_1nF: Tensor = self.network(
                input_ids=ids_1n, attention_mask=torch.ones_like(ids_1n)
            ).last_hidden_state
        return states_1nF[0].float().cpu().contiguous()

    def _tokens(self, caption: str, length: int | None) -> list[int]:
        """Tokens, cut to `length` if it is given; special tokens in a caption are read as text."""
        tokens: list[int] = self.tokenizer(
            caption, truncation=length is not None, max_length=length, split_special_tokens=True, verbose=False
        )["input_ids"]
        return tokens
