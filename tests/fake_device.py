"""A fake device: tensors say that they are elsewhere, refuse to be mixed with those of the CPU, and count waits.

    with FakeDevice() as device:
        model.to(FAKE)
        ...
    device.waits  # how often numbers were fetched, for which a program has to wait for a GPU

Its name is `meta`, the only device of torch that needs no hardware; its tensors have numbers all the same, on the CPU.
What a GPU refuses (a mask that was made on the CPU, an index that stayed there) is refused here.
"""

import traceback
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAKE = "meta"
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default)
MATH = 0  # of the ways that attention is computed, the one without a kernel of its own


class There(Tensor):
    """A tensor on the fake device."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        made = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=FAKE
        )
        made.here = here
        return made  # type: ignore[no-any-return]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"There({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{op} of a tensor on the fake device, which is not there any more")


class FakeDevice(TorchDispatchMode):
    """While it is entered there is such a device."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()
        self.creation = Creation()

    @property
    def waits(self) -> int:
        return self.places.total()

    def __enter__(self) -> "FakeDevice":
        self.creation.__enter__()
        torch.autocast = Autocast  # type: ignore[misc]
        return super().__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *how: Any) -> None:
        super().__exit__(*how)
        torch.autocast = Autocast.__base__  # type: ignore[misc, assignment]
        self.creation.__exit__(*how)

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there, here = any(isinstance(each, There) for each in given), [g for g in given if not isinstance(g, There)]
        target = kwargs.get("device")
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        to_there = there if target is None else torch.device(target).type == FAKE
        if op is aten._fused_sdp_choice.default:
            return MATH
        if any(each.device.type == FAKE for each in here):
            raise RuntimeError(f"{op}: a tensor that was made out of sight of this device")
        if there and op not in MOVES and any(each.ndim > 0 for each in here):
            raise RuntimeError(
                f"{op}: tensors of two devices ({', '.join(str(list(each.shape)) for each in here)} here)"
            )
        if there and (op is aten._local_scalar_dense.default or (op in MOVES and not to_there)):
            self.wait()
        if op is aten.copy_.default and isinstance(args[1], There) and not isinstance(args[0], There):
            self.wait()
        out = op(*tree_map(raw, args), **tree_map(raw, kwargs))
        if op._schema.is_mutable:
            return args[0] if op._schema.returns else None
        return tree_map(lambda each: There(each) if isinstance(each, Tensor) else each, out) if to_there else out

    def wait(self) -> None:
        ours = [
            f
            for f in traceback.extract_stack()
            if "/site-packages/" not in f.filename and "fake_device" not in f.filename
        ]
        self.places[f"{ours[-1].filename.rsplit('/', 1)[-1]}:{ours[-1].name}" if ours else "?"] += 1


class Autocast(torch.autocast):
    """torch refuses to hear of it on `meta`."""

    def __init__(self, device_type: str, *settings: Any, **more: Any):
        super().__init__("cpu" if device_type == FAKE else device_type, *settings, **more)


class Creation(TorchFunctionMode):
    """torch makes tensors of lists out of sight of dispatch: so they are made on the CPU, and moved."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if function is Tensor.tolist and isinstance(args[0], There):
            return args[0].cpu().tolist()
        if function is Tensor.new_tensor and isinstance(args[0], There):
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **kwargs, "device": "cpu"}).to(FAKE)
        if function in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device).type == FAKE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(device)
        return function(*args, **kwargs)


def raw(each: Any) -> Any:
    return each.here if isinstance(each, There) else each
