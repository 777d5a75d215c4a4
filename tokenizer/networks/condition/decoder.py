"""A decoder with condition layers. What they read of a caption is part of its state, computed once.

None               nothing decoded yet, no caption
(captions,)        nothing decoded yet, with these captions
(captions, layers) a stream that has begun, with the states of the layers
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from interfaces.prior import Text
from tokenizer.networks.condition.config import ConditionConfig, FilmConfig
from tokenizer.networks.condition.layers import CaptionEmbedding, ConditionLayer, CrossAttention, Film
from tokenizer.streaming import LayerChange, State, StreamingSequential, map_state

CONDITION_WEIGHTS = "decoder.condition."  # how the names of their weights begin in a tokenizer


def decoder_sequence(
    layers: Iterable[nn.Module], condition: ConditionConfig | None, dims: Mapping[int, int]
) -> StreamingSequential:
    """The layers of a decoder in a row; with a condition, also a condition layer after each layer of `dims`.

    `dims` holds the channels after a layer by the layer's number.
    """
    return StreamingSequential(layers) if condition is None else ConditionedSequential(layers, condition, dims)


class ConditionedSequential(StreamingSequential):
    """Layers in a row, some of them followed by a condition layer.

    The weights of the layers have the names that they have without a condition.
    """

    def __init__(self, layers: Iterable[nn.Module], config: ConditionConfig, dims: Mapping[int, int]):
        super().__init__(layers)
        if config.input is None:
            raise ValueError("condition.input is missing: the captions that a decoder reads")
        self.condition = nn.ModuleDict(
            {
                "embedding": CaptionEmbedding(config.input, config.width),
                **{str(number): make_condition_layer(config, dim) for number, dim in dims.items()},
            }
        )

    def read(self, text: Text) -> State:
        """The state of a decoder that has these captions, of all clips in one pass: for training."""
        words_BLW, counts_BL = self.embedding(text)
        return (tuple(layer.read(words_BLW, counts_BL) for layer in self.condition_layers.values()),)

    def with_condition(self, state: State | None, text: Text | None) -> State | None:
        """The state with these captions, or none, instead of its own."""
        if state is None:
            return None if text is None else (self.read_each(text),)
        before, *layers = self.split_captions(state)
        captions = self.no_captions(rows_of(before)) if text is None else self.read_each(text)
        if rows_of(captions) != rows_of(before):
            raise ValueError(f"{rows_of(captions)} captions for {rows_of(before)} clips")
        return (captions, *layers)

    def read_each(self, text: Text) -> State:
        """The captions of a state, each read alone, so that a clip gets the same bits in any batch."""
        if len(text.mask) == 0:
            raise ValueError("no captions: give one for each clip")
        rows = [self.read(text.rows(slice(row, row + 1))) for row in range(len(text.mask))]
        return stack_rows([cast(tuple[State], row)[0] for row in rows])

    def no_captions(self, batch: int) -> State:
        (captions,) = cast(tuple[State], self.read(self.embedding.no_text()))
        return map_state(lambda leaf: leaf.expand(batch, *leaf.shape[1:]).contiguous(), captions)

    def is_start(self, state: State | None) -> bool:
        return state is None or len(self.split_captions(state)) == 1

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        captions, *rest = (self.no_captions(len(x_BTHWC)),) if state is None else self.split_captions(state)
        if rows_of(captions) != len(x_BTHWC):
            raise ValueError(f"{rows_of(captions)} captions for {len(x_BTHWC)} clips")
        x_BTHWC, layers = self.apply_layers(x_BTHWC, rest[0] if rest else None, self.given(captions))
        return x_BTHWC, (captions, layers)

    def finish(self, x_BTHWC: Tensor | None, state: State | None) -> Tensor | None:
        if state is None:
            return super().finish(x_BTHWC, None)
        captions, *rest = self.split_captions(state)
        return self.finish_layers(x_BTHWC, rest[0] if rest else None, self.given(captions))

    def given(self, captions: State) -> LayerChange:
        """Applies the condition layers, each after its layer."""
        read = dict(zip(self.condition_layers, cast(tuple[State, ...], captions), strict=True))

        def change(number: int, x_BTHWC: Tensor) -> Tensor:
            if number not in read:
                return x_BTHWC
            changed: Tensor = self.condition_on(self.condition_layers[number], x_BTHWC, read[number])
            return changed

        return change

    def condition_on(self, layer: ConditionLayer, x: Any, caption: State) -> Any:
        """What the condition layer makes of what a layer gave, its features unless there is more to it."""
        return layer(x, caption)

    @property
    def embedding(self) -> CaptionEmbedding:
        return cast(CaptionEmbedding, self.condition["embedding"])

    @property
    def condition_layers(self) -> dict[int, ConditionLayer]:
        """By the number of the layer that each follows, in order."""
        numbered = {name: layer for name, layer in self.condition.items() if name != "embedding"}
        return {int(name): cast(ConditionLayer, layer) for name, layer in numbered.items()}

    def split_captions(self, state: State) -> tuple[State, ...]:
        """(captions,) or (captions, layer states); ValueError for the state of another decoder."""
        whole = isinstance(state, tuple) and len(state) in (1, 2) and isinstance(state[0], tuple)
        if not whole or len(state[0]) != len(self.condition_layers):
            raise ValueError("the state of another decoder: expected (captions, layer states)")
        return cast(tuple[State, ...], state)


def make_condition_layer(config: ConditionConfig, dim: int) -> ConditionLayer:
    return Film(config, dim) if isinstance(config, FilmConfig) else CrossAttention(config, dim)


def rows_of(state: State) -> int:
    return len(state) if isinstance(state, Tensor) else rows_of(state[0])


def stack_rows(states: list[State]) -> State:
    """One state of many clips from the states of each."""
    if isinstance(states[0], Tensor):
        return torch.cat(cast(list[Tensor], states))
    return tuple(stack_rows(list(parts)) for parts in zip(*states, strict=True))
