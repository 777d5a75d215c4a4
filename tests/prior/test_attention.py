import itertools
from dataclasses import replace

import pytest
import torch

from prior import attention
from prior.attention import attend, attend_all
from prior.model import rotary_of
from prior.visibility import Layout
from tests.prior.models import FEATURES, WORDS, tiny_batch, tiny_config, tiny_model

# FlexAttention says that it is slow where it is not compiled, which on a CPU takes minutes.
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

LAYOUTS = [
    Layout(context, frames, 3, window, copies, order)
    for (copies, order), context, (frames, window) in itertools.product(
        ((2, "together"), (1, "raster"), (1, "together")),
        (0, 4),
        ((1, 2), (5, 1), (5, 2), (4, 4), (3, 9)),
    )
]
LAYOUTS += [replace(layout, caption=2) for layout in LAYOUTS]


def vectors(layout, heads=4, kv_heads=2, channels=6, batch=2):
    generator = torch.Generator().manual_seed(layout.length)
    shapes = ((batch, layout.length, count, channels) for count in (heads, kv_heads, kv_heads))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("kernel", ["gathered", "dense"])
def test_a_kernel_gives_the_oracles_output_and_gradients(kernel):
    for layout in LAYOUTS:
        inputs = [each.requires_grad_() for each in vectors(layout)]
        direction = torch.randn(2, layout.length, 4, 6, dtype=torch.float64)
        expected, got = (attend(*inputs, layout, kernel=name) for name in ("oracle", kernel))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12, msg=str(layout))
        pairs = zip(*(torch.autograd.grad(out, inputs, direction) for out in (got, expected)), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12, msg=str(layout))


def test_flex_gives_the_oracles_output():
    for layout in LAYOUTS[::7]:
        inputs = vectors(layout)
        got, expected = attend(*inputs, layout, kernel="flex"), attend(*inputs, layout, kernel="oracle")
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12, msg=str(layout))


@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("kernel", ["gathered", "dense", "flex"])
def test_grouped_heads_equal_the_oracle(kernel, kv_heads):
    layout = Layout(2, 4, 3, 2, 2, "together")
    inputs = vectors(layout, kv_heads=kv_heads)
    torch.testing.assert_close(attend(*inputs, layout, kernel), attend(*inputs, layout, "oracle"))


@pytest.mark.parametrize("context", [None, WORDS, FEATURES], ids=["no context", "words", "features"])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_every_kernel_gives_a_model_the_same_gradients(objective, context):
    config = tiny_config(objective, context=context)
    model, batch = tiny_model(config), tiny_batch(config, noise=0.5)
    direction = torch.randn(2, 5, 6, config.width, dtype=torch.float64)
    features, gradients = {}, {}
    for kernel in ("oracle", "gathered", "dense"):
        model.zero_grad()
        features[kernel] = model.features(batch, kernel)
        features[kernel].backward(direction)
        gradients[kernel] = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    silent = {name for name, _ in model.named_parameters()} - set(gradients["oracle"])
    assert all(name.startswith("head.") for name in silent)
    for kernel in ("gathered", "dense"):
        torch.testing.assert_close(features[kernel], features["oracle"], rtol=0, atol=1e-10)
        assert gradients[kernel].keys() == gradients["oracle"].keys()
        for name, expected in gradients["oracle"].items():
            scale = expected.abs().max().item()
            torch.testing.assert_close(gradients[kernel][name], expected, rtol=0, atol=1e-10 * max(scale, 1), msg=name)


def test_flex_gives_a_model_the_gradients_of_the_oracle():
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config)
    with torch.no_grad():
        torch.testing.assert_close(model.features(batch, "flex"), model.features(batch, "oracle"), rtol=0, atol=1e-10)


def test_without_a_mask_queries_attend_to_all_keys():
    q, keys, values = torch.randn(2, 3, 4, 6), torch.randn(2, 2, 5, 6), torch.randn(2, 2, 5, 6)
    torch.testing.assert_close(attend_all(q, keys, values), attend_all(q, keys, values, torch.ones(3, 5) > 0))
    part = attend_all(q, keys, values, torch.arange(5) < torch.tensor([[1], [3], [5]]))
    torch.testing.assert_close(part[:, 1], attend_all(q[:, 1:2], keys[:, :, :3], values[:, :, :3])[:, 0])
    torch.testing.assert_close(part[:, 0], values[:, :, 0].repeat_interleave(2, 1))


def test_auto_is_gathered_on_a_cpu_and_flex_on_a_gpu():
    assert attention.choose_kernel("auto", torch.device("cpu")) == "gathered"
    assert attention.choose_kernel("auto", torch.device("cuda")) == "flex"
    assert attention.choose_kernel("dense", torch.device("cuda")) == "dense"


def test_narrow_heads_use_gathered_on_a_gpu():
    """torch has no flex kernel for fewer than 16 channels, and would fail in the first step."""
    assert attention.choose_kernel("auto", torch.device("cuda"), 16) == "flex"
    assert attention.choose_kernel("auto", torch.device("cuda"), 12) == "gathered"
    assert attention.block_mask_of(LAYOUTS[0], "auto", torch.device("cuda"), 12) is None


def test_gathered_keys_are_linear_in_the_number_of_frames():
    """All frames after the first window have the same number of keys."""
    for frames in (8, 80):
        layout = Layout(3, frames, 4, 2, 2, "together")
        keys = attention.split_sequence(torch.zeros(1, layout.length, 2, 6), layout)
        rows = [attention.visible_keys(keys, t, layout).shape[1] for t in range(frames)]
        assert rows[:2] == [3 + 4 * (2 + before) for before in range(2)]
        assert set(rows[2:-1]) == {3 + 4 * (2 + 2)}
        assert rows[-1] == 3 + 4 * (2 + 1)  # the last frame has no clean copy


def test_flex_is_compiled_for_every_layout_of_a_long_run(monkeypatch):
    """By default torch stops after eight recompilations, and would then use quadratic memory."""
    compile_options = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compile_options.append(options))
    with torch._dynamo.config.patch(recompile_limit=8):
        attention.compiled_flex.__wrapped__()
        assert torch._dynamo.config.recompile_limit >= 64
    assert compile_options == [{"dynamic": False}]


@pytest.mark.parametrize("kernel", ["gathered", "flex"])
def test_q_k_and_v_have_one_dtype_under_autocast(kernel, monkeypatch):
    """As on a GPU: flex requires queries, keys and values of one dtype."""
    plain = torch.nn.functional.rms_norm

    def as_on_a_gpu(x, *rest):
        return plain(x.float(), *(each.float() if isinstance(each, torch.Tensor) else each for each in rest))

    monkeypatch.setattr(torch.nn.functional, "rms_norm", as_on_a_gpu)
    config = tiny_config()
    model, batch = tiny_model(config).float(), tiny_batch(config)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        q, k, v = model.blocks[0].project(
            torch.randn(1, 6, config.width), rotary_of(config, 0, 1, config.spec.groups, torch.device("cpu"))
        )
        assert q.dtype == k.dtype == v.dtype == torch.bfloat16
        assert model(batch, kernel).loss.isfinite().all()
