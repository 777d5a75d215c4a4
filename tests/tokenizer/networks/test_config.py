import pytest

from tests.tokenizer.models import small_config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"f_t": 3}, "f_t = 3"),
        ({"f_s": 32, "front_s": 8}, "f_s = 32"),
        ({"front": "fourier"}, "front = 'fourier'"),
        ({"front_t": 8}, "front_t = 8"),
        ({"front_s": 3}, "front_s = 3"),
        ({"f_t": 8, "front_t": 1, "front_s": 2}, "front_t = 1"),
        ({"kernel_t": 0}, "kernel_t = 0"),
        ({"channels": 0}, "channels = 0"),
        ({"kernel_t": 2, "causal": False}, "kernel_t = 2"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        small_config(**changes)


@pytest.mark.parametrize("name", ["encoder_widths", "encoder_blocks", "decoder_widths", "decoder_blocks"])
@pytest.mark.parametrize("numbers", [(8, 8), (8, 8, 0), ()])
def test_every_level_needs_a_width_and_blocks(name, numbers):
    from dataclasses import replace

    with pytest.raises(ValueError, match=name):
        replace(small_config(), **{name: numbers})


def test_time_is_halved_at_the_coarsest_steps():
    assert small_config(f_t=8, front_t=4, f_s=8, front_s=1).time_factors == (1, 1, 2)
    assert small_config(f_t=4, front_t=4).time_factors == (1, 1)
