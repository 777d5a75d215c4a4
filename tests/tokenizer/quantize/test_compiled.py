"""torch.compile does not compile a quantizer anew at each step of training."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tokenizer.quantize import QuantizerConfig, ResidualConfig, Revival, VQConfig, make_quantizer

pytestmark = pytest.mark.filterwarnings("ignore")  # a compiler has many remarks about torch itself

REVIVED = VQConfig(16, 2, revival=Revival(every=2))


@pytest.mark.parametrize("config", [REVIVED, ResidualConfig(REVIVED, 2, dropout=0.5)], ids=["vq", "residual"])
def test_later_steps_are_those_compiled_before(config: QuantizerConfig) -> None:
    torch._dynamo.reset()
    quantizer, compiled, counts = make_quantizer(config), CompileCounter(), []
    quantizer.begin_training()
    quantize = torch.compile(quantizer.quantize, backend=compiled, dynamic=False)
    for step in range(6):
        quantizer.set_step(step)
        out = quantize(torch.randn(100, 2))
        assert bool(out.samples) == (step % 2 == 1)
        quantizer.update({**out.statistics, **out.samples})
        counts.append(compiled.frame_count)
    assert counts[0] > 0
    assert counts[2:] == [counts[1]] * 4, "once for steps that revive codes, once for others"
