"""The convention of every layer with a memory: (x, state) -> (y, state), where None starts a stream.

A state is a tensor or a tuple of states. It goes in and comes out and is never stored on a module, so it can be copied,
moved, saved and used twice, and activation checkpointing stays exact. Activations are channels-last: x_BTHWC.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

State: TypeAlias = Tensor | tuple["State", ...]
LayerChange: TypeAlias = Callable[[int, Tensor], Tensor]  # from the number of a layer and its output to what is used


class Streaming(nn.Module):
    """A layer whose output at time t depends on the inputs up to t; on those of earlier calls through the state.

    A layer that looks ahead holds back the frames that its next input decides, and gives them with that input.
    """

    @abstractmethod
    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The output for these frames as in a pass over the whole stream, and the state for the next call."""

    def finish(self, x_BTHWC: Tensor | None, state: State | None) -> Tensor | None:
        """The last output of a stream: that for its last frames, if there are some, and what was held back."""
        return None if x_BTHWC is None else self(x_BTHWC, state)[0]

    def is_start(self, state: State | None) -> bool:
        """Whether a stream with this state has had no frame yet."""
        return state is None


class StreamingSequential(Streaming):
    """Layers in a row; those that are not Streaming work on each frame alone and have no state."""

    def __init__(self, layers: Iterable[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.streaming_layers = sum(isinstance(layer, Streaming) for layer in self.layers)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        return self.apply_layers(x_BTHWC, state)

    def finish(self, x_BTHWC: Tensor | None, state: State | None) -> Tensor | None:
        return self.finish_layers(x_BTHWC, state)

    def apply_layers(
        self, x_BTHWC: Tensor, state: State | None, change: LayerChange | None = None
    ) -> tuple[Tensor, State]:
        """`change`, if there is one, changes the output of each layer."""
        before, after = iter(self._split(state)), list[State]()
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Streaming):
                x_BTHWC, layer_state = layer(x_BTHWC, next(before))
                after.append(layer_state)
            else:
                x_BTHWC = layer(x_BTHWC)
            x_BTHWC = x_BTHWC if change is None else change(number, x_BTHWC)
        return x_BTHWC, tuple(after)

    def finish_layers(
        self, x_BTHWC: Tensor | None, state: State | None, change: LayerChange | None = None
    ) -> Tensor | None:
        before = iter(self._split(state))
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Streaming):
                x_BTHWC = layer.finish(x_BTHWC, next(before))
            elif x_BTHWC is not None:
                x_BTHWC = layer(x_BTHWC)
            x_BTHWC = x_BTHWC if change is None or x_BTHWC is None else change(number, x_BTHWC)
        return x_BTHWC

    def _split(self, state: State | None) -> tuple[State | None, ...]:
        if state is None:
            return (None,) * self.streaming_layers
        if not isinstance(state, tuple) or len(state) != self.streaming_layers:
            found = f"{len(state)} parts" if isinstance(state, tuple) else "a single tensor"
            raise ValueError(f"the state of another model: {found}, expected {self.streaming_layers} parts")
        return state


def state_tensors(state: State, count: int) -> tuple[Tensor, ...]:
    """The state of a layer as a tuple of `count` tensors; ValueError for any other state."""
    if not isinstance(state, tuple) or len(state) != count or not all(isinstance(leaf, Tensor) for leaf in state):
        raise ValueError(f"the state of another layer: expected {count} tensors")
    return cast(tuple[Tensor, ...], state)


def map_state(change: Callable[[Tensor], Tensor], state: State) -> State:
    """The state with every tensor changed, e.g. moved to another device."""
    if isinstance(state, Tensor):
        return change(state)
    return tuple(map_state(change, part) for part in state)


def flatten_state(state: State, name: str = "state") -> dict[str, Tensor]:
    """Every tensor by its path (`state.1.0`), as a file of named tensors holds them; `state.1.` for an empty tuple."""
    if isinstance(state, Tensor):
        return {name: state}
    if not state:  # of layers without a memory
        return {f"{name}.": torch.empty(0)}
    return {path: leaf for i, part in enumerate(state) for path, leaf in flatten_state(part, f"{name}.{i}").items()}


def unflatten_state(leaves: Mapping[str, Tensor], name: str = "state") -> State:
    """The inverse of `flatten_state`."""
    if name in leaves:
        return leaves[name]
    if f"{name}." in leaves:
        return ()
    parts: list[State] = []
    while any(path == f"{name}.{len(parts)}" or path.startswith(f"{name}.{len(parts)}.") for path in leaves):
        parts.append(unflatten_state(leaves, f"{name}.{len(parts)}"))
    if not parts:
        raise ValueError(f"no tensor of a state {name!r} among {sorted(leaves)[:3]}")
    return tuple(parts)
