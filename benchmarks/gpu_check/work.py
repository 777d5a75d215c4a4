"""What a training step cannot do without, in floating-point operations."""

from prior.config import PriorConfig
from prior.visibility import Layout
from videogen.evaluation.floor import head_parameters

BACKWARD = 2  # as much as forward, twice: gradients of the weights and of what came in


def training_flop(config: PriorConfig, layout: Layout, batch: int) -> float:
    """Forward and backward of a batch. Nothing masked away is counted, nothing padded, nothing made again.

    After the last block only the frames that are asked about are read: the others give it keys and values alone.
    """
    queries, keys = config.heads * config.channels_a_head, config.kv_heads * config.channels_a_head
    positions, asked = layout.length, layout.frames * layout.tokens
    matrices = config.width * (2 * queries + 2 * keys + 3 * config.hidden)
    seen, seen_by_asked = visible_pairs(layout)
    blocks = (config.layers - 1) * (2 * matrices * positions + 4 * queries * seen)
    last = 2 * matrices * asked + 2 * 2 * config.width * keys * (positions - asked) + 4 * queries * seen_by_asked
    head = 2 * head_parameters(config) * asked
    return float((1 + BACKWARD) * batch * (blocks + last + head))


def visible_pairs(layout: Layout) -> tuple[int, int]:
    """Pairs of positions of which one sees the other: of all, and of those whose frames are asked about."""
    mask = layout.mask()
    return int(mask.sum()), int(mask[-layout.frames * layout.tokens :].sum())
