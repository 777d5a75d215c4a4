import pytest

from tests.tokenizer.models import small_config


@pytest.mark.parametrize(
    ("f_t", "frames", "latents"), [(1, 5, 5), (4, 1, 1), (4, 2, 2), (4, 5, 2), (4, 6, 3), (8, 17, 3)]
)
def test_a_clip_needs_one_latent_for_the_first_frame_and_one_for_every_f_t(f_t, frames, latents):
    config = small_config(f_t=f_t)
    assert config.latent_frames(frames) == latents
    assert config.latent_frames(config.video_frames(latents)) == latents
    assert 0 <= config.video_frames(latents) - frames < f_t
    assert config.latent_frames(0) == config.video_frames(0) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"f_t": 3}, "f_t = 3"),
        ({"f_s": 32, "front_s": 8}, "f_s = 32"),
        ({"front": "fourier"}, "front = 'fourier'"),
        ({"front_t": 8}, "front_t = 8"),
        ({"front_s": 3}, "front_s = 3"),
        ({"f_t": 8, "front_t": 1, "front_s": 2}, "front_t = 1"),
        ({"kernel_t": 1}, "kernel_t = 1"),
        ({"channels": 0}, "channels = 0"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=words):
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
