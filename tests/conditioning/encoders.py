"""Tiny encoders with random weights and a small tokenizer, saved as `transformers` saves them."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

WORDS = ["a", "small", "large", "red", "blue", "ring", "square", "drifts", "left", "right", "over", "the", "sea"]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
LIMIT = 16  # positions of CLIP and BERT


def tokenizer() -> Any:
    """Words to ids, with a beginning and an end."""
    vocabulary = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=fast, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def model(family: str, seed: int = 0) -> Any:
    ends: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    size = len(SPECIAL) + len(WORDS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "t5":
            t5 = T5Config(vocab_size=size, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, **ends)
            return T5EncoderModel(t5)
        if family == "clip":
            return CLIPTextModel(CLIPTextConfig(vocab_size=size, max_position_embeddings=LIMIT, **shape, **ends))
        return BertModel(BertConfig(vocab_size=size, max_position_embeddings=LIMIT, **shape, **ends))


def save(folder: Path, family: str, seed: int = 0) -> Path:
    model(family, seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
