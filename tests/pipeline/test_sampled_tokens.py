"""Token sets that a prior samples hold what calls give, whatever the batch, and resume."""

from pathlib import Path

import pytest
import torch

from prior.config import ControlConfig
from tests.pipeline.tiny import CLIPS, RING, STAR, exact, write_model
from videogen.cli import main
from videogen.errors import CheckpointError, UsageError
from videogen.generation.sampled_tokens import TokenSampling, sample_tokens
from videogen.pipeline import VideoPipeline
from videogen.tokens import TokenSet
from videogen.tokens.description import Description, EncodeSpec, write_description
from videogen.tokens.shards import ShardMetadata, write_shard

FRAMES, ACTIONS = (9, 1, 6, 9), (3, 0, 2)
CAPTIONS = (RING, STAR, STAR, RING)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> VideoPipeline:
    folder = write_model(tmp_path_factory.mktemp("controlled") / "model", control=ControlConfig(discrete=4))
    return exact(VideoPipeline.from_pretrained(folder))


@pytest.fixture(scope="module")
def source(pipe: VideoPipeline, tmp_path_factory: pytest.TempPathFactory) -> TokenSet:
    return write_set(tmp_path_factory.mktemp("tokens"), pipe, pipe.model.tokenizer.fingerprint)


def write_set(folder: Path, pipe: VideoPipeline, fingerprint: str, clips_per_shard: int = 3) -> TokenSet:
    """Clips of zeros with captions and controls; what is sampled does not depend on their codes."""
    spec, control = pipe.model.spec, pipe.model.config.control
    clips = EncodeSpec(CLIPS.height, CLIPS.width, CLIPS.fps)
    description = Description(fingerprint, spec, clips, "0" * 64, len(FRAMES), clips_per_shard, control)
    write_description(folder, description)
    for shard in range(description.shards):
        numbers = description.slice_of(shard)
        counts = tuple(spec.latent_frames(FRAMES[number]) for number in numbers)
        keys, captions = tuple(f"clip {number}" for number in numbers), tuple(CAPTIONS[number] for number in numbers)
        metadata = ShardMetadata(keys, captions, tuple(FRAMES[number] for number in numbers), counts)
        codes = [torch.zeros(count, spec.tokens, spec.depth, dtype=torch.int64).numpy() for count in counts]
        rows = torch.cat([torch.tensor(ACTIONS[:count]) for count in counts]).numpy()
        write_shard(folder, shard, metadata, spec, codes, None if control is None else (control, rows))
    return TokenSet.open(folder)


def settings(pipe: VideoPipeline, **changes) -> TokenSampling:
    return TokenSampling(pipe.sampler_with({"steps": 2, "guidance_scale": 2.0}), **{"seed": 5, **changes})


def test_clips_are_those_of_calls(pipe: VideoPipeline, source: TokenSet, tmp_path: Path) -> None:
    made = sample_tokens(pipe.model, source, tmp_path / "made", settings(pipe, batch=2))
    made.verify()
    for number, (caption, frames) in enumerate(zip(CAPTIONS, FRAMES, strict=True)):
        clip, latents = made.clip(number), pipe.model.spec.latent_frames(frames)
        called = pipe(
            caption,
            num_frames=frames,
            generator=5 + number,
            control=list(ACTIONS[:latents]),
            steps=2,
            guidance_scale=2.0,
            output_type="codes",
        )
        assert (clip.key, clip.caption, clip.frames) == (f"clip {number}", caption, frames)
        assert clip.codes.equal(called.frames[0])
        assert clip.control is not None
        assert clip.control.tolist() == list(ACTIONS[:latents])


def test_neither_batch_nor_interruption_changes_a_byte(pipe: VideoPipeline, source: TokenSet, tmp_path: Path) -> None:
    one, other, counted = tmp_path / "one", tmp_path / "other", []
    sample_tokens(pipe.model, source, one, settings(pipe, batch=1))
    sample_tokens(pipe.model, source, other, settings(pipe, batch=3), lambda *counts: counted.append(counts))
    assert counted == [(3, 4), (4, 4)]
    for place in other.glob("shard_00001*"):
        place.unlink()
    kept = (other / "shard_00000.safetensors").stat().st_mtime_ns
    sample_tokens(pipe.model, source, other, settings(pipe))
    assert (other / "shard_00000.safetensors").stat().st_mtime_ns == kept
    files = [place.name for place in one.iterdir() if place.is_file()]
    assert [(one / name).read_bytes() for name in files] == [(other / name).read_bytes() for name in files]


def test_part_of_a_set(pipe: VideoPipeline, source: TokenSet, tmp_path: Path) -> None:
    whole = sample_tokens(pipe.model, source, tmp_path / "whole", settings(pipe))
    part = sample_tokens(pipe.model, source, tmp_path / "part", settings(pipe, clips=2, frames=5))
    assert len(part) == 2
    assert part.frames().tolist() == [5, 1]
    assert part.clip(0).codes.equal(whole.clip(0).codes[:2])


def test_what_is_refused(pipe: VideoPipeline, source: TokenSet, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    sample_tokens(pipe.model, source, out, settings(pipe, clips=1))
    with pytest.raises(UsageError, match=r"another number of clips|other clips"):
        sample_tokens(pipe.model, source, out, settings(pipe, clips=1, seed=6))
    (tmp_path / "foreign").mkdir()
    foreign = write_set(tmp_path / "foreign", pipe, "f" * 64)
    with pytest.raises(CheckpointError, match="holds tokens of ffffffffffff"):
        sample_tokens(pipe.model, foreign, tmp_path / "other", settings(pipe))
    textless = write_model(tmp_path / "textless", text=False)
    given = ["data", "sample", str(source.folder), str(tmp_path / "none"), "--model", str(textless), "--quiet"]
    assert main(given) == 2
    assert "takes no captions" in capsys.readouterr().err
