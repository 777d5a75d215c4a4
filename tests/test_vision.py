"""Vision models from folders: features of frames, and folders that hold none."""

from pathlib import Path

import pytest
import torch

from tests.conditioning.encoders import save
from tests.training.vision import save_vision, vision_model
from tokenizer.losses.alignment import AlignmentConfig
from videogen.errors import UsageError
from videogen.models.vision import as_grid, load_vision

FRAMES = torch.rand(3, 3, 24, 40) * 2 - 1


@pytest.mark.parametrize("family", ["vit", "dinov2", "resnet"])
def test_features_are_a_grid(tmp_path: Path, family: str) -> None:
    before = torch.random.get_rng_state()
    vision = load_vision(AlignmentConfig(save_vision(tmp_path, family)))
    assert torch.equal(before, torch.random.get_rng_state()), "a run draws what it draws without it"
    assert vision is not None
    assert vision(FRAMES).shape == (3, *((2, 2) if family != "resnet" else vision(FRAMES).shape[1:3]), vision.width)
    assert vision.width == 16
    assert not any(parameter.requires_grad for parameter in vision.network.parameters())
    assert not vision.network.training


def test_pixels_are_normalized_as_the_folder_says(tmp_path: Path) -> None:
    frames = torch.rand(2, 3, 16, 16) * 2 - 1
    said = {"size": {"height": 16, "width": 16}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    vision = load_vision(AlignmentConfig(save_vision(tmp_path, preprocessor=said), layer=1))
    assert vision is not None
    pixels = ((frames + 1) / 2 - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[
        :, None, None
    ]
    with torch.no_grad():
        hidden = vision_model("vit").eval()(pixel_values=pixels, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(vision(frames).flatten(1, 2), hidden[:, 1:])


def test_without_a_preprocessor_pixels_stay_in_their_range(tmp_path: Path) -> None:
    frames = torch.rand(2, 3, 16, 16) * 2 - 1
    vision = load_vision(AlignmentConfig(save_vision(tmp_path)))
    assert vision is not None
    with torch.no_grad():
        hidden = vision_model("vit").eval()(pixel_values=frames, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(vision(frames).flatten(1, 2), hidden[:, 1:], rtol=1e-4, atol=1e-5)


def test_class_tokens_and_registers_come_before_the_grid() -> None:
    patches = torch.rand(2, 16, 5)
    for others in (0, 1, 5):
        grid = as_grid(torch.cat([torch.zeros(2, others, 5), patches], 1))
        assert torch.equal(grid.flatten(1, 2), patches)


def test_folders_without_a_vision_model_are_one_line_each(tmp_path: Path) -> None:
    assert load_vision(None) is None
    assert load_vision(AlignmentConfig(None)) is None
    (tmp_path / "empty").mkdir()
    save(tmp_path / "text", "bert")
    save_vision(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    save_vision(tmp_path / "json")
    (tmp_path / "json" / "preprocessor_config.json").write_text("{")
    for name, reason in {
        "missing": "no such folder",
        "empty": "cannot load it",
        "text": "not a vision model",
        "pickled": "cannot load it",
        "json": "not JSON",
    }.items():
        with pytest.raises(UsageError, match=reason) as caught:
            load_vision(AlignmentConfig(tmp_path / name))
        assert str(caught.value).startswith(f"loss.alignment.folder is {tmp_path / name}")
        assert "\n" not in str(caught.value)
    for layer in (3, -4):
        with pytest.raises(UsageError, match=f"layer is {layer}; .* fewer hidden states"):
            load_vision(AlignmentConfig(save_vision(tmp_path / f"vit{layer}"), layer=layer))
