"""What a latent frame costs to decode: memory and operations, counted on fake tensors that have no memory."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tokenizer.networks.latent import LatentTokenizer
from videogen.models import TokenizerModel

flops: Any = flop_counter  # its functions have no types
ATEN = torch.ops.aten
ATTENTION = {  # the CPU's own attention, which torch's counter does not know
    ATEN._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **more: flops.sdpa_flop_count(q, k, v),
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *rest, **more: (
        flops.sdpa_backward_flop_count(grad, q, k, v)
    ),
}


@dataclass(frozen=True)
class DecodingCost:
    """Of a latent frame in the middle of a stream, at the frame size of the model's clips."""

    bytes: int  # at the most, beside the weights: activations, and the state of the stream
    operations: float


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are made inside and still in use; one storage counts once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.users: dict[int, set[int]] = {}  # of a storage
        self.now = self.most = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.add(tensor)
        return out

    def add(self, tensor: Tensor) -> None:
        storage, user = tensor.untyped_storage(), id(tensor)
        place, size = storage._cdata, storage.nbytes()
        users = self.users.setdefault(place, set())
        if user in users:
            return
        self.now += 0 if users else size
        self.most = max(self.most, self.now)
        users.add(user)
        weakref.finalize(tensor, self.drop, place, user, size).atexit = False

    def drop(self, place: int, user: int, size: int) -> None:
        users = self.users[place]
        users.discard(user)
        if not users:
            self.now -= size
            del self.users[place]


@torch.no_grad()
def decoding_cost(model: TokenizerModel) -> DecodingCost | None:
    """None for a tokenizer that takes whole clips only, or is of a kind that has no latents.

    From latents on: looking up codes is little. Workspaces of kernels are not counted.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    network, spec = model.network, model.spec
    if not isinstance(network, LatentTokenizer) or not network.causal:
        return None
    with FakeTensorMode(allow_non_fake_inputs=True):
        latents_BTND = torch.zeros(1, 1, spec.tokens, network.quantizer.dim)
        state = network.decode_latents(latents_BTND, spec, model.begin_decoding([""]))[1]
        live, counter = LiveBytes(), flops.FlopCounterMode(display=False, custom_mapping=ATTENTION)
        held = sum(each.untyped_storage().nbytes() for each in tree_leaves(state) if isinstance(each, Tensor))
        with counter, live:
            network.decode_latents(latents_BTND, spec, state)
    return DecodingCost(held + live.most, float(counter.get_total_flops()))
