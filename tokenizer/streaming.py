"""The convention of every layer that remembers: (x, state) -> (y, state), where None begins a stream.

A state is a tensor or a tuple of states. It goes in and comes out and never lives on a module, so it can be kept,
moved, saved and used twice, and activation checkpointing stays exact. Activations are channel-last: x_BTHWC.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, cast

from torch import Tensor, nn

State: TypeAlias = Tensor | tuple["State", ...]


class Streaming(nn.Module):
    """A layer whose output at time t depends on inputs up to t only, and on the earlier ones only through its state."""

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        """What the whole stream would have given for these frames, and what the next call needs to know."""
        raise NotImplementedError


class Stack(Streaming):
    """Layers one after the other; those that are not Streaming see each frame alone and keep nothing."""

    def __init__(self, layers: Iterable[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.memories = sum(isinstance(layer, Streaming) for layer in self.layers)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        before = iter([None] * self.memories if state is None else self._parts(state))
        after: list[State] = []
        for layer in self.layers:
            if isinstance(layer, Streaming):
                x_BTHWC, kept = layer(x_BTHWC, next(before))
                after.append(kept)
            else:
                x_BTHWC = layer(x_BTHWC)
        return x_BTHWC, tuple(after)

    def _parts(self, state: State) -> tuple[State, ...]:
        if not isinstance(state, tuple) or len(state) != self.memories:
            found = f"{len(state)} parts" if isinstance(state, tuple) else "a single tensor"
            raise ValueError(f"this state belongs to another model: {found} where {self.memories} layers remember")
        return state


def leaves(state: State, count: int) -> tuple[Tensor, ...]:
    """The state of a layer that keeps exactly so many tensors."""
    if not isinstance(state, tuple) or len(state) != count or not all(isinstance(leaf, Tensor) for leaf in state):
        raise ValueError(f"this state belongs to another layer: expected {count} tensors")
    return cast(tuple[Tensor, ...], state)


def map_state(change: Callable[[Tensor], Tensor], state: State) -> State:
    """The same nesting with every tensor changed, e.g. moved to another device."""
    if isinstance(state, Tensor):
        return change(state)
    return tuple(map_state(change, part) for part in state)


def flatten_state(state: State, name: str = "state") -> dict[str, Tensor]:
    """Every tensor under the path that leads to it (`state.1.0`): what a file of named tensors can hold."""
    if isinstance(state, Tensor):
        return {name: state}
    return {path: leaf for i, part in enumerate(state) for path, leaf in flatten_state(part, f"{name}.{i}").items()}


def unflatten_state(leaves: Mapping[str, Tensor], name: str = "state") -> State:
    """The state that `flatten_state` took apart; tuples without tensors are not remembered."""
    if name in leaves:
        return leaves[name]
    parts: list[State] = []
    while any(path == f"{name}.{len(parts)}" or path.startswith(f"{name}.{len(parts)}.") for path in leaves):
        parts.append(unflatten_state(leaves, f"{name}.{len(parts)}"))
    if not parts:
        raise ValueError(f"no tensor of a state named {name!r} among {sorted(leaves)[:3]}")
    return tuple(parts)
