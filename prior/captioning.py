"""Captions of a clip in a past: written token by token, or scored at once.

The past is that of `begin(None, ...)` and of committed latent frames, so a clip of any length takes constant memory.
A caption attends to what the next latent frame would attend to. Nothing here changes the past.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text
from prior.attention import attend_all, causal_mask
from prior.captions import caption_rotary_of, caption_targets
from prior.config import PriorConfig
from prior.memory import Past
from prior.model import LlamaPrior
from prior.rotary import RotaryCache
from prior.streaming import arithmetic_for


class CaptionState(NamedTuple):
    """The keys and values [B, K, n, D] of the tokens of captions so far, for each layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        """The inputs so far: the begin, and the tokens of the captions."""
        return self.keys[0].shape[2]

    def rows(self, index_R: Tensor) -> "CaptionState":
        """These captions, in this order; repeats allowed."""
        return CaptionState(*(tuple(each[index_R] for each in part) for part in self))


@torch.no_grad()
def begin_caption(model: LlamaPrior, past: Past) -> tuple[CaptionState, Tensor]:
    """The state before the first token, and its log-probabilities float32 [B, V]; one caption for each clip."""
    captions, context = model.caption_parts()
    x_B1C = captions.first(context, model.before_caption(past.last), len(past.last))
    return next_log_p(model, past, x_B1C, None)


@torch.no_grad()
def extend_caption(model: LlamaPrior, past: Past, state: CaptionState, ids_R: Tensor) -> tuple[CaptionState, Tensor]:
    """The state after one more token of each caption, and the log-probabilities [R, V] of the token after it.

    A past of one clip serves any number of captions; otherwise there is one caption for each clip.
    """
    captions, context = model.caption_parts()
    return next_log_p(model, past, captions.later(context, ids_R.unsqueeze(1), state.tokens), state)


@torch.no_grad()
def caption_nats(model: LlamaPrior, past: Past, text: Text) -> Tensor:
    """-log p(caption | clip) of whole captions, float64 [R]; of longer ones than the text holds, of their start."""
    captions, context = model.caption_parts()
    ids_RL, counted_RL = caption_targets(text)
    last_RK = past.last.expand(len(ids_RL), -1)
    _, features_RLC = caption_features(model, past, model.embed_captions(ids_RL, last_RK), None)
    nats_RL = captions.losses(context, features_RLC, ids_RL, 0.0).nats
    return (nats_RL.double() * counted_RL).sum(1)


def next_log_p(model: LlamaPrior, past: Past, x_R1C: Tensor, state: CaptionState | None) -> tuple[CaptionState, Tensor]:
    captions, context = model.caption_parts()
    state, features_R1C = caption_features(model, past, x_R1C, state)
    return state, captions.logits(context, features_R1C[:, -1]).log_softmax(-1)


@torch.no_grad()
def caption_features(
    model: LlamaPrior, past: Past, x_RnC: Tensor, state: CaptionState | None
) -> tuple[CaptionState, Tensor]:
    """Runs the next n inputs of captions through all blocks; returns the state after them and their features."""
    rows, count = x_RnC.shape[:2]
    rotary = cached_caption_rotary(model.config, int(past.frames), count, x_RnC.device)
    steps = arithmetic_for(x_RnC, rotary, model.config)
    all_keys, all_values, layers = [], [], len(model.layers)
    *frames, _ = model.visible(past)
    seen = [each.expand(rows, -1, -1, -1) for each in frames]
    for number, (block, seen_k, seen_v) in enumerate(zip(model.blocks, seen[:layers], seen[layers:], strict=True)):
        q, k, v = steps.project(block, x_RnC)
        own_k, own_v = k.transpose(1, 2), v.transpose(1, 2)
        if state is not None:
            own_k = torch.cat([state.keys[number], own_k], 2)
            own_v = torch.cat([state.values[number], own_v], 2)
        keys, values = torch.cat([seen_k, own_k], 2), torch.cat([seen_v, own_v], 2)
        mask = causal_mask(count, keys.shape[2], keys.device)
        x_RnC = steps.finish(block, x_RnC, attend_all(q, keys, values, mask))
        all_keys.append(own_k)
        all_values.append(own_v)
    features_RnC: Tensor = model.norm(x_RnC)
    return CaptionState(tuple(all_keys), tuple(all_values)), features_RnC


@functools.lru_cache(maxsize=8)
def cached_caption_rotary(config: PriorConfig, frame: int, length: int, device: torch.device) -> RotaryCache:
    with torch.inference_mode(False):
        return caption_rotary_of(config, frame, length, device)
