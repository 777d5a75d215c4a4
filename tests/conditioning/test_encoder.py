"""A frozen encoder gives each caption its own hidden states, whatever the batch, and computes them once."""

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conditioning import encoders
from videogen.checkpoint import read_folder, write_folder
from videogen.conditioning import BPEConfig, EncoderConfig, load_conditioner, make_conditioner
from videogen.conditioning.encoder import EncoderConditioner
from videogen.conditioning.source import find_encoder
from videogen.errors import CheckpointError, UsageError

CAPTIONS = ["a small red ring", "a large blue square drifts left over the sea", "ring"]
FAMILIES = ("t5", "clip", "bert")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    for family in FAMILIES:
        encoders.save(folder / family, family)
    return folder


def made(folder: Path, cache: Path | None = None, **settings: Any) -> EncoderConditioner:
    conditioner = make_conditioner(EncoderConfig(str(folder), **{"length": 14, **settings}), [], cache)
    assert isinstance(conditioner, EncoderConditioner)
    return conditioner


def count_calls(conditioner: EncoderConditioner) -> list[torch.Tensor]:
    """A list that grows with every caption that goes through the network."""
    calls: list[torch.Tensor] = []
    conditioner.network.register_forward_pre_hook(
        lambda network, args, named: calls.append(named["input_ids"]), with_kwargs=True
    )
    return calls


def refused(error: type[Exception], folder: Path, **settings: Any) -> str:
    with pytest.raises(error) as caught:
        made(folder, **settings)(["a ring"])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_the_models_own(models: Path, family: str) -> None:
    conditioner = made(models / family)
    text = conditioner(CAPTIONS)
    network, tokenizer = encoders.model(family).eval(), encoders.tokenizer()
    assert text.content.dtype == torch.float32
    assert text.content.shape == (3, 14, 16)
    assert (conditioner.features, conditioner.vocabulary) == (16, None)
    for row, caption in enumerate(CAPTIONS):
        ids = tokenizer(caption, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = network(input_ids=ids).last_hidden_state[0]
        assert torch.equal(text.content[row, : len(expected)], expected)
        assert text.mask[row].tolist() == [place < len(expected) for place in range(14)]
        assert not text.content[row, len(expected) :].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_padded_batch_of_the_model_says_the_same(models: Path, family: str) -> None:
    text = made(models / family)(CAPTIONS)
    batch = encoders.tokenizer()(CAPTIONS, padding="max_length", max_length=14, return_tensors="pt")
    with torch.no_grad():
        states = encoders.model(family).eval()(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    assert torch.equal(batch["attention_mask"].bool(), text.mask)
    torch.testing.assert_close(states[text.mask], text.content[text.mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_batch_nor_length_moves_a_bit(models: Path, family: str) -> None:
    together, longer = made(models / family)(CAPTIONS), made(models / family, length=16)(CAPTIONS)
    for row, caption in enumerate(CAPTIONS):
        alone = made(models / family)([caption])
        assert torch.equal(together.content[row], alone.content[0])
        assert torch.equal(together.mask[row], alone.mask[0])
    assert torch.equal(longer.content[:, :14], together.content)


def test_a_blank_caption_is_no_text_and_no_work(models: Path) -> None:
    conditioner = made(models / "bert")
    calls = count_calls(conditioner)
    text = conditioner(["", " \n\x00"])
    assert not text.mask.any()
    assert not text.content.any()
    assert not calls
    assert conditioner([]).content.shape == (0, 14, 16)


def test_a_long_caption_keeps_its_end_token_and_is_counted(models: Path) -> None:
    conditioner = made(models / "bert")
    long = "a small red ring " * 2000
    calls = count_calls(conditioner)
    assert conditioner([long]).mask.all()
    assert calls[0].shape == (1, 14)
    assert calls[0][0, -1] == 3
    assert conditioner.too_long([long, "ring", ""]) == 1


def test_a_caption_can_say_anything(models: Path) -> None:
    conditioner = made(models / "bert")
    text = conditioner(["红色 🎈 кольцо", "\ud800 ring \x07", "a </s> <pad> ring"])
    assert text.mask.any(1).all()
    assert conditioner.token_ids("\ud800 ring \x07") == conditioner.token_ids("ring")
    assert not {0, 3} & set(conditioner.token_ids("a </s> <pad> ring")[1:-1])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_training_in_lower_precision_changes_nothing(models: Path, kind: torch.dtype) -> None:
    plain = made(models / "t5")(CAPTIONS)
    with torch.autocast("cpu", dtype=kind):
        cast = made(models / "t5")(CAPTIONS)
    assert torch.equal(plain.content, cast.content)


def without(place: Path, beginning: str) -> None:
    """Take the weights whose names begin so out of a folder."""
    from safetensors.torch import load_file, save_file

    weights = load_file(place / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(beginning)}
    assert len(kept) < len(weights)
    save_file(kept, place / "model.safetensors", metadata={"format": "pt"})


def test_loading_and_encoding_draw_no_random_numbers_and_want_no_gradients(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    without(place, "pooler")  # what is missing is drawn at random
    before = torch.get_rng_state()
    conditioner = made(place)
    assert not conditioner(CAPTIONS).content.requires_grad
    assert torch.equal(before, torch.get_rng_state())
    assert not conditioner.network.training
    assert not any(weight.requires_grad for weight in conditioner.network.parameters())


def test_a_caption_is_encoded_once(models: Path, tmp_path: Path) -> None:
    conditioner = made(models / "t5", tmp_path / "cache")
    calls = count_calls(conditioner)
    first = conditioner([*CAPTIONS, CAPTIONS[0], f" {CAPTIONS[0]}\n"])
    assert len(calls) == len(CAPTIONS)
    assert torch.equal(conditioner(CAPTIONS).content, first.content[:3])
    assert len(calls) == len(CAPTIONS)

    later = made(models / "t5", tmp_path / "cache")
    assert torch.equal(later(CAPTIONS).content, first.content[:3])
    assert "network" not in vars(later), "with everything in the folder the encoder is never loaded"


def test_what_a_caller_does_to_its_text_does_not_reach_the_cache(models: Path) -> None:
    conditioner = made(models / "t5")
    before = conditioner(CAPTIONS).content.clone()
    conditioner(CAPTIONS).content.zero_()
    assert torch.equal(conditioner(CAPTIONS).content, before)


def test_one_folder_serves_several_encoders(models: Path, tmp_path: Path) -> None:
    for family in FAMILIES:
        cached, plain = made(models / family, tmp_path), made(models / family)
        assert torch.equal(cached(CAPTIONS).content, plain(CAPTIONS).content)
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(FAMILIES) * len(CAPTIONS)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_file_of_the_cache_is_made_again(models: Path, tmp_path: Path, damage: str) -> None:
    first = made(models / "t5", tmp_path)(["a ring"])
    (place,) = tmp_path.rglob("*.safetensors")
    whole = place.read_bytes()
    damaged = {
        "cut": whole[:-7],
        "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
        "emptied": b"",
        "other": pickle.dumps([1]),
    }
    place.write_bytes(damaged[damage])
    assert torch.equal(made(models / "t5", tmp_path)(["a ring"]).content, first.content)
    assert place.read_bytes() == whole


def test_saved_and_loaded_it_is_the_same(models: Path, tmp_path: Path) -> None:
    conditioner = made(models / "clip")
    folder = write_folder(tmp_path / "model", conditioner.files())
    assert set(folder.hashes) == {"text/config.json"}
    loaded = load_conditioner(read_folder(tmp_path / "model"))
    assert loaded.fingerprint == conditioner.fingerprint
    assert (loaded.length, loaded.features, loaded.vocabulary) == (14, 16, None)
    assert torch.equal(loaded(CAPTIONS).content, conditioner(CAPTIONS).content)
    assert loaded.files() == conditioner.files()


def test_an_encoder_may_move(models: Path, tmp_path: Path) -> None:
    before = shutil.copytree(models / "bert", tmp_path / "before")
    folder = write_folder(tmp_path / "model", made(before).files())
    before.rename(tmp_path / "after")
    with pytest.raises(CheckpointError, match="text encoder"):
        load_conditioner(folder)
    moved = load_conditioner(folder, encoder=str(tmp_path / "after"))
    assert moved.fingerprint == made(models / "bert").fingerprint


@pytest.mark.parametrize("part", ["weights", "config.json", "tokenizer.json"])
def test_another_encoder_is_refused(models: Path, tmp_path: Path, part: str) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    conditioner = made(place)
    folder = write_folder(tmp_path / "model", conditioner.files())
    (place / "README.md").write_text("a new card changes nothing")
    assert load_conditioner(folder).fingerprint == conditioner.fingerprint
    if part == "weights":
        encoders.model("bert", seed=1).save_pretrained(place)
    else:
        (place / part).write_text((place / part).read_text() + "\n")
    with pytest.raises(CheckpointError, match="differ") as caught:
        load_conditioner(folder)
    assert "\n" not in str(caught.value)
    assert made(place).fingerprint != conditioner.fingerprint


def test_pickled_weights_are_refused_unopened(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    (place / "model.safetensors").unlink()
    torch.save(encoders.model("bert").state_dict(), place / "pytorch_model.bin")
    message = refused(CheckpointError, place)
    assert "pytorch_model.bin, a pickled file" in message
    assert "safetensors" in message


def test_pickled_weights_beside_good_ones_are_not_looked_at(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    (place / "pytorch_model.bin").write_bytes(b"no weights at all")
    assert torch.equal(made(place)(CAPTIONS).content, made(models / "bert")(CAPTIONS).content)


def test_a_pickle_under_the_name_of_safetensors_is_refused(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    torch.save(encoders.model("bert").state_dict(), place / "model.safetensors")
    assert "cannot load" in refused(CheckpointError, place)


def test_code_in_a_folder_is_never_run(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    config = json.loads((place / "config.json").read_text())
    mark = tmp_path / "ran"
    (place / "code.py").write_text(f"open({str(mark)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    config |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (place / "config.json").write_text(json.dumps(config))
    refused(CheckpointError, place)
    assert not mark.exists()


def test_weights_that_lack_a_layer_are_refused(models: Path, tmp_path: Path) -> None:
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    without(place, "pooler")
    assert torch.equal(made(place)(CAPTIONS).content, made(models / "bert")(CAPTIONS).content)
    without(place, "encoder.layer.1.output.dense.weight")
    assert "missing from its weights, such as encoder.layer.1.output.dense.weight" in refused(CheckpointError, place)


def test_weights_in_shards(models: Path, tmp_path: Path) -> None:
    network = encoders.model("bert")
    network.save_pretrained(tmp_path, max_shard_size="6KB")
    encoders.tokenizer().save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("*-of-*.safetensors"))
    assert len(shards) > 1
    conditioner = made(tmp_path)
    assert torch.equal(conditioner(CAPTIONS).content, made(models / "bert")(CAPTIONS).content)
    assert {f"model/{place.name}" for place in shards} < set(conditioner.source.hashes)
    shards[0].unlink()
    assert shards[0].name in refused(CheckpointError, tmp_path)


def test_parts_of_a_pipeline_in_folders_of_their_own(models: Path, tmp_path: Path) -> None:
    encoders.model("clip").save_pretrained(tmp_path / "text_encoder")
    encoders.tokenizer().save_pretrained(tmp_path / "tokenizer")
    conditioner = made(tmp_path, subfolder="text_encoder", tokenizer_subfolder="tokenizer")
    assert torch.equal(conditioner(CAPTIONS).content, made(models / "clip")(CAPTIONS).content)
    assert "has no tokenizer" in refused(UsageError, tmp_path, subfolder="text_encoder")


def test_of_a_model_of_text_and_images_the_text_part_counts(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    text = encoders.model("clip")
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    small: dict[str, Any] = {**vision, "image_size": 8, "patch_size": 4}
    both = CLIPConfig(text_config=text.config.to_dict(), vision_config=small, projection_dim=4)
    network: Any = CLIPModel(both)
    network.eval()
    network.save_pretrained(tmp_path)
    encoders.tokenizer().save_pretrained(tmp_path)
    ids = encoders.tokenizer()("a small ring", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = network.text_model(input_ids=ids).last_hidden_state[0]
    assert torch.equal(made(tmp_path)(["a small ring"]).content[0, : len(expected)], expected)


def test_a_model_that_only_translates_is_no_encoder(tmp_path: Path) -> None:
    from transformers import BartConfig

    BartConfig(d_model=16).save_pretrained(tmp_path)
    encoders.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "type bart" in refused(CheckpointError, tmp_path)


def test_a_name_is_found_among_what_was_downloaded(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "models--some--encoder"
    commit = hashlib.sha1(b"any").hexdigest()
    shutil.copytree(models / "bert", place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = EncoderConfig("some/encoder", length=14)
    named = make_conditioner(config, [])
    assert torch.equal(named(CAPTIONS).content, made(models / "bert")(CAPTIONS).content)
    assert named.fingerprint == made(models / "bert").fingerprint
    assert find_encoder(replace(config, revision=commit)).hashes == find_encoder(config).hashes
    (place / "snapshots" / commit / "tokenizer.json").unlink()
    (place / "snapshots" / commit / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="tokenizer"):
        find_encoder(config)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "nobody/nothing", "no name!", "~/nowhere-x"])
def test_what_is_nowhere_is_said_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="folder") as caught:
        make_conditioner(EncoderConfig(name), [])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(name)


def test_a_folder_that_is_no_encoder_is_said_in_one_line(models: Path, tmp_path: Path) -> None:
    assert "no config.json" in refused(UsageError, tmp_path)
    place = shutil.copytree(models / "bert", tmp_path / "bert")
    (place / "config.json").write_text("{")
    assert "cannot load" in refused(CheckpointError, place)


def test_more_tokens_than_the_encoder_has_positions(models: Path) -> None:
    assert made(models / "clip", length=encoders.LIMIT)(["ring " * 50]).mask.all()
    assert "16 tokens at most" in refused(UsageError, models / "clip", length=encoders.LIMIT + 1)
    assert made(models / "t5", length=100)(["ring " * 50]).mask.sum() == 52


def test_nothing_is_printed_and_the_settings_of_transformers_stay(
    models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    made(models / "bert")(CAPTIONS)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_neither_kind_needs_a_network_for_what_is_here(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def ask(*question: object, **more: object) -> None:
        asked.append(question)
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", ask)
    monkeypatch.setattr("socket.socket.connect", ask)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    made(models / "bert")(CAPTIONS)
    make_conditioner(BPEConfig(), CAPTIONS)(CAPTIONS)
    assert not asked
