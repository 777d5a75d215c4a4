"""The attention diagram in the documentation matches the code."""

from benchmarks.prior.draw_visibility import TARGET, draw


def test_the_attention_diagram_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == draw(), "run python -m benchmarks.prior.draw_visibility"
