import pytest
import torch
from torch import nn

from tokenizer.networks.convolution import TimeConv
from tokenizer.streaming import StreamingSequential, flatten_state, map_state, unflatten_state


def nested(shift=0.0):
    one, two, three = (torch.full((size,), size + shift) for size in (1, 2, 3))
    return (one, ((two,), three))


def test_a_state_comes_back_from_a_flat_dict():
    flat = flatten_state(nested())
    assert set(flat) == {"state.0", "state.1.0.0", "state.1.1"}
    again = flatten_state(unflatten_state(dict(reversed(flat.items()))))
    assert again.keys() == flat.keys()
    assert all(again[name] is flat[name] for name in flat)


def test_a_state_of_more_than_ten_parts_keeps_their_order():
    state = tuple(torch.tensor(i) for i in range(12))
    assert [int(part) for part in unflatten_state(flatten_state(state))] == list(range(12))


@pytest.mark.parametrize("state", [(), ((), ()), (torch.ones(1), ((), torch.ones(2)), ())])
def test_layers_without_a_memory_keep_their_place_in_a_state(state):
    again = unflatten_state(flatten_state(state))
    assert map_state(torch.Tensor.tolist, again) == map_state(torch.Tensor.tolist, state)


def test_a_file_without_the_state_is_refused():
    with pytest.raises(ValueError):
        unflatten_state({"other.0": torch.zeros(1)})


def test_map_state_changes_every_tensor_and_keeps_the_nesting():
    mapped = flatten_state(map_state(lambda leaf: leaf + 1, nested()))
    assert {name: leaf.tolist() for name, leaf in mapped.items()} == {
        name: leaf.tolist() for name, leaf in flatten_state(nested(1.0)).items()
    }


def test_every_layer_gets_its_own_state():
    stack = StreamingSequential(
        [TimeConv(3, 4, 2), nn.Tanh(), StreamingSequential([TimeConv(4, 4, 3)]), TimeConv(4, 2, 4)]
    ).double()
    x = torch.randn(1, 7, 2, 2, 3, dtype=torch.float64)
    whole, _ = stack(x, None)
    parts, state = [], None
    for chunk in x.split([1, 3, 2, 1], 1):
        y, state = stack(chunk, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    assert list(flatten_state(state)) == [
        "state.0.0",
        *(f"state.1.0.{i}" for i in (0, 1)),
        *(f"state.2.{i}" for i in (0, 1, 2)),
    ]


def test_the_state_of_another_layer_is_refused():
    with pytest.raises(ValueError, match="2 tensors"):
        TimeConv(3, 3, 3)(torch.zeros(1, 1, 2, 2, 3), (torch.zeros(1, 1, 2, 2, 3),))


@pytest.mark.parametrize("foreign", [torch.zeros(1), (torch.zeros(1),)])
def test_the_state_of_another_model_is_refused(foreign):
    stack = StreamingSequential([TimeConv(3, 3, 2), TimeConv(3, 3, 2)])
    with pytest.raises(ValueError, match="2 parts"):
        stack(torch.zeros(1, 1, 2, 2, 3), foreign)
