"""torch.compile takes the network as one graph, with every kernel, with and without activation checkpointing."""

import copy
from typing import Any

import pytest
import torch

from prior.config import ControlConfig
from tests.prior.models import GROUPS_OF_TWO, tiny_batch, tiny_config, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")  # a compiler has many remarks about torch itself


class CountingBackend:
    """A backend of torch.compile that runs the graphs unchanged."""

    def __init__(self) -> None:
        self.graphs: list[Any] = []

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs.append(graph)
        return graph.forward


# flex has no gradients on a CPU, and without them there is no checkpointing
@pytest.mark.parametrize(("kernel", "recompute"), [("gathered", False), ("gathered", True), ("flex", False)])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_a_compiled_prior_is_one_graph_without_its_block_mask(kernel, recompute, objective):
    torch._dynamo.reset()
    model = tiny_model(tiny_config(objective)).train().requires_grad_(kernel != "flex")
    batch, backend = tiny_batch(model.config), CountingBackend()
    blocks = model.block_mask_for(batch, kernel)
    compiled = torch.compile(model, backend=backend)
    got = compiled(batch, kernel, 0.0, recompute, blocks)
    assert len(backend.graphs) == 1
    assert "argsort" not in str(backend.graphs[0].code), "a block mask is sorted together"
    torch.testing.assert_close(got.nats, model(batch, kernel).nats)


def test_groups_and_controls_are_in_the_graph_and_an_equal_spec_is_no_other_one() -> None:
    torch._dynamo.reset()
    config, backend = tiny_config(spec=GROUPS_OF_TWO, control=ControlConfig(discrete=3)), CountingBackend()
    model = tiny_model(config).train()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for seed in range(2):
        batch = tiny_batch(config, seed=seed)._replace(spec=copy.deepcopy(GROUPS_OF_TWO))
        torch.testing.assert_close(compiled(batch, "gathered").nats, model(batch, "gathered").nats)
    assert len(backend.graphs) == 1
