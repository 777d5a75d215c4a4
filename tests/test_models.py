import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.prior.models import tiny_config, tiny_model
from tests.tokenizer.models import noise_clip, small_config, small_model
from tests.tokenizer.quantize.families import bsq, lfq
from videogen.checkpoint import as_json, write_folder
from videogen.clip_spec import ClipSpec
from videogen.errors import CheckpointError
from videogen.models import load_prior, load_tokenizer, prior_files, tokenizer_files

CLIPS = ClipSpec(32, 48, 7.5, 9)


def write(folder: Path, config, weights=None) -> Path:  # type: ignore[no-untyped-def]
    weights = small_model(config).state_dict() if weights is None else weights
    write_folder(folder, tokenizer_files(config, CLIPS, weights, "# a card"))
    return folder


@pytest.mark.parametrize("quantizer", [small_config().quantizer, lfq(9), bsq(7)])
def test_a_written_tokenizer_can_be_read(tmp_path: Path, quantizer) -> None:  # type: ignore[no-untyped-def]
    config = replace(small_config(), quantizer=quantizer)
    opened = load_tokenizer(write(tmp_path / "model", config))
    assert opened.config == config
    assert opened.clips == CLIPS
    clip = noise_clip(1, 6, 16, 16)
    assert torch.equal(encode_clip(opened.network, clip), encode_clip(small_model(config), clip))
    assert not opened.network.training
    assert not any(p.requires_grad for p in opened.network.parameters())


def test_a_run_folder_is_a_model_folder(tmp_path: Path) -> None:
    write(tmp_path / "run" / "model", small_config())
    assert load_tokenizer(tmp_path / "run").path == tmp_path / "run" / "model"
    assert load_tokenizer(str(tmp_path / "run")).path == tmp_path / "run" / "model"


def test_the_fingerprint_covers_exactly_what_decides_codes(tmp_path: Path) -> None:
    config = small_config()
    first = load_tokenizer(write(tmp_path / "a", config)).fingerprint
    files = tokenizer_files(config, CLIPS, small_model(config).state_dict(), "# another card")
    write_folder(tmp_path / "b", files)
    assert load_tokenizer(tmp_path / "b").fingerprint == first
    other = small_model(config, seed=1).state_dict()
    assert load_tokenizer(write(tmp_path / "c", config, other)).fingerprint != first
    wider = replace(config, decoder_widths=tuple(width + 4 for width in config.decoder_widths))
    kept = {name: w for name, w in small_model(config).state_dict().items() if not name.startswith("decoder.")}
    assert load_tokenizer(write(tmp_path / "d", config, other | kept)).fingerprint == first
    assert load_tokenizer(write(tmp_path / "e", wider, small_model(wider).state_dict() | kept)).fingerprint == first
    prints = {
        load_tokenizer(write(tmp_path / quantizer.kind, replace(config, quantizer=quantizer))).fingerprint
        for quantizer in (lfq(9), bsq(9))
    }
    assert len(prints) == 2, "equal weights, other quantizers"
    trained_otherwise = replace(
        config, quantizer=replace(lfq(9), sharpness=3.0, commitment_weight=0.5), spread_weight=0.7
    )
    assert load_tokenizer(write(tmp_path / "f", trained_otherwise)).fingerprint in prints, "only training reads these"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", small_config())
    place = folder / "tokenizer" / "model.safetensors"
    raw = bytearray(place.read_bytes())
    raw[-5] ^= 1
    place.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        load_tokenizer(folder)


def test_folders_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no MANIFEST\.json"):
        load_tokenizer(tmp_path / "empty")
    write_folder(tmp_path / "other", {"notes.txt": "hello"})
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        load_tokenizer(tmp_path / "other")
    write_folder(
        tmp_path / "prior", {"model_index.json": {"format": "videogen-model", "version": 2, "parts": ["prior"]}}
    )
    with pytest.raises(CheckpointError, match="tokenizer, only prior"):
        load_tokenizer(tmp_path / "prior")
    write_folder(tmp_path / "future", {"model_index.json": {"format": "videogen-model", "version": 9, "parts": []}})
    with pytest.raises(CheckpointError, match="version 9"):
        load_tokenizer(tmp_path / "future")


def test_an_invalid_configuration_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", small_config())
    config = json.loads((folder / "tokenizer" / "config.json").read_text())
    files = tokenizer_files(small_config(), CLIPS, small_model(small_config()).state_dict(), "")
    for change, words in (({"f_t": 3}, "f_t = 3"), ({"colour": 1}, "colour")):
        broken = {**config, "network": {**config["network"], **change}}
        shutil.rmtree(folder)
        write_folder(folder, {**files, "tokenizer/config.json": broken})
        with pytest.raises(CheckpointError, match=words):
            load_tokenizer(folder)


def test_an_unregistered_kind_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", small_config())
    config = json.loads((folder / "tokenizer" / "config.json").read_text())
    files = tokenizer_files(small_config(), CLIPS, small_model(small_config()).state_dict(), "")
    write_folder(folder, {**files, "tokenizer/config.json": {**config, "kind": "wavelet"}})
    with pytest.raises(CheckpointError, match="wavelet"):
        load_tokenizer(folder)
    with pytest.raises(ValueError, match="ClipSpec"):
        tokenizer_files(CLIPS, CLIPS, {}, "")


def test_a_prior_with_the_tokens_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write(tmp_path / "tokenizer", small_config()))
    other = replace(tokenizer.spec, codebooks=(40, 25))
    prior = tiny_model(tiny_config(spec=other))
    write_folder(tmp_path / "model", prior_files(tokenizer, prior.config, CLIPS, prior.state_dict(), None, "# a card"))
    with pytest.raises(CheckpointError, match="40 x 25"):
        load_prior(tmp_path / "model")


def test_a_head_that_there_is_not_is_named(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write(tmp_path / "tokenizer", small_config()))
    config = replace(tiny_config(spec=tokenizer.spec), head="diffusion")
    write_folder(tmp_path / "model", prior_files(tokenizer, config, CLIPS, {}, None, "# a card"))
    with pytest.raises(CheckpointError, match=r"'head' is 'diffusion'; expected .* chain, flat, depth, flow"):
        load_prior(tmp_path / "model")


def test_a_removed_setting_is_read_with_its_one_value(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write(tmp_path / "tokenizer", small_config()))
    prior = tiny_model(tiny_config(spec=tokenizer.spec_of(CLIPS.height, CLIPS.width))).float()
    files = prior_files(tokenizer, prior.config, CLIPS, prior.state_dict(), None, "# a card")
    for value in (0, 1):
        config = json.loads(as_json(files["prior/config.json"]))
        config["network"]["sink_frames"] = value
        write_folder(tmp_path / str(value), {**files, "prior/config.json": config})
    assert load_prior(tmp_path / "0").config == prior.config
    with pytest.raises(CheckpointError, match=r"prior/config\.json: 'sink_frames' was removed, and only 0 can"):
        load_prior(tmp_path / "1")


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", small_config(f_s=16), small_model(small_config()).state_dict())
    with pytest.raises(CheckpointError, match="weights"):
        load_tokenizer(folder)


def test_a_name_that_is_not_a_folder_is_looked_up_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from videogen.models import resolve_model

    asked: list[tuple[str, list[str]]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if name != "owner/model":
            raise OSError("no route\nand more")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert resolve_model("runs/mine") == Path("runs/mine")
    assert resolve_model("nowhere") == Path("nowhere")
    assert resolve_model("./owner/other") == Path("./owner/other")
    assert resolve_model(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not asked
    assert resolve_model("owner/model") == tmp_path
    assert not [pattern for pattern in asked[0][1] if pattern.endswith(("*", "bin", "pt"))]
    with pytest.raises(CheckpointError, match=r"^owner/other: .* \(no route\)$"):
        resolve_model("owner/other")
