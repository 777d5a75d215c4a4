"""The table of checks: first those whose failure would hurt most, last the slow ones."""

from benchmarks.gpu_check.runner import Check

HERE = "benchmarks.gpu_check.checks"
MODEL = ("einops", "safetensors", "tokenizers", "yaml")  # to read the bundled model

CHECKS = (
    Check("machine", f"{HERE}.machine:check", 40),
    Check("flex", f"{HERE}.attention:flex", 120),
    Check("step 80 M", f"{HERE}.training:eager_80m", 90, needs=("yaml",)),
    Check("stream", f"{HERE}.streaming:check", 60, needs=MODEL),
    Check("tokenizer", f"{HERE}.tokenizing:check", 60, needs=MODEL),
    Check("proposals", f"{HERE}.proposals:check", 75, needs=MODEL),
    Check("step 80 M, compiled", f"{HERE}.training:compiled_80m", 150, needs=("yaml",)),
    Check("rollout", f"{HERE}.rollout:check", 45, needs=(*MODEL, "accelerate")),
    Check("tokenizer step", f"{HERE}.tokenizer_step:check", 60, needs=("einops", "yaml")),
    Check("sharded", f"{HERE}.sharded:check", 100, needs=(*MODEL, "accelerate")),
    Check("step 700 M", f"{HERE}.training:eager_700m", 90, needs=("yaml",)),
    Check("laws", f"{HERE}.selftest:check", 90, needs=MODEL),
    Check("flash", f"{HERE}.flash:check", 40, needs=("flash_attn",)),
    Check("gathered", f"{HERE}.attention:gathered", 40),
    Check("step 700 M, compiled", f"{HERE}.training:compiled_700m", 200, needs=("yaml",)),
)
