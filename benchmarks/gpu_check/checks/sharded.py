"""Stage two in one process under FSDP2, as torchrun and accelerate set it up: trained, saved, resumed."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt, is_small, relative_error
from prior.config import PriorShape
from videogen.checkpoint import read_folder
from videogen.conditioning import BPEConfig
from videogen.models import BUNDLED, TokenizerModel, load_tokenizer
from videogen.tokens.description import Description, EncodeSpec, write_or_compare
from videogen.tokens.shards import ShardMetadata, write_shard
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.distributed import processes
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior
from videogen.training.records.run_folder import steps_in

CLIPS, FRAMES, STEPS = 16, 4, 4
TOLERANCE = 1e-3  # of all weights: a GPU may add in another order
LAUNCHER = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Block",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
}


def check(device: str) -> Iterator[Finding]:
    os.environ.update(LAUNCHER, MASTER_PORT=str(free_port()))
    if is_small(device):
        os.environ["ACCELERATE_USE_CPU"] = "true"
    with tempfile.TemporaryDirectory() as home:
        yield from attempt("FSDP2", lambda: check_training(Path(home), is_small(device)))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def check_training(home: Path, small: bool) -> Iterator[Finding]:
    """A run, and one that stopped half way and was resumed."""
    write_tokens(home / "tokens", load_tokenizer(BUNDLED))
    in_shards = is_sharded()
    what = f"{'FSDP2' if in_shards else 'DDP'} in one process"
    if small:
        yield Finding("FSDP2 in one process", "skipped", why="accelerate shards weights only on GPUs")
    config = configuration(home / "tokens", small)
    outcome = run_prior(config, BUNDLED, home / "whole", resume=False)
    nats = outcome.metrics["nats"]
    yield Finding(
        f"{what}: trained and saved", yes_or_no(bool(np.isfinite(nats)) and (in_shards or small)),
        f"{nats:.2f} nats per token", why=f"{STEPS} steps, bf16, checkpoint and model written; "
        + ("weights in shards" if in_shards else "weights whole"), numbers={"nats": nats},
    )  # fmt: skip
    half = replace(config, training=replace(config.training, steps=STEPS // 2))
    run_prior(half, BUNDLED, home / "half", resume=False)
    shutil.copytree(home / "half", home / "resumed")
    run_prior(config, BUNDLED, home / "resumed", resume=True)
    one, other = (flatten_checkpoint(home / name) for name in ("whole", "resumed"))
    error = relative_error(other, one)
    yield Finding(
        f"{what}: resumed", yes_or_no(error < TOLERANCE),
        "equal to the bit" if torch.equal(one, other) else f"off by {error:.1e}", f"allowed {TOLERANCE:.0e}",
        f"weights, averages and AdamW's moments after {STEPS} steps, stopped after {STEPS // 2}", {"error": error},
    )  # fmt: skip


def is_sharded() -> bool:
    """Whether accelerate shards in this process; otherwise the check says nothing about FSDP."""
    with processes(bf16=True) as (accelerator, _):
        return bool(accelerator.is_fsdp2)


def write_tokens(folder: Path, tokenizer: TokenizerModel) -> None:
    """A token set of random codes of the bundled tokenizer."""
    folder.mkdir()
    spec, clips = tokenizer.spec, tokenizer.clips
    frames = spec.video_frames(FRAMES)
    encoded = EncodeSpec(clips.height, clips.width, clips.fps, frames)
    write_or_compare(folder, Description(tokenizer.fingerprint, spec, encoded, "random", CLIPS, CLIPS))
    names = tuple(f"clip {number}" for number in range(CLIPS))
    captions = tuple(f"a small ring, {name}" for name in names)
    metadata = ShardMetadata(names, captions, (frames,) * CLIPS, (FRAMES,) * CLIPS)
    rng = np.random.default_rng(0)
    write_shard(
        folder, 0, metadata, spec, (rng.integers(0, spec.codebooks, (FRAMES, spec.tokens, spec.depth)) for _ in names)
    )


def configuration(data: Path, small: bool) -> PriorTrainingConfig:
    width = 64 if small else 512
    shape = PriorShape(
        width=width, layers=2, heads=width // 32, kv_heads=2, hidden=2 * width, window=3, objective="masked"
    )
    return PriorTrainingConfig(
        data=TokenDataConfig(train=data, validation_share=0.25, validation_clips=4),
        phases=(PriorPhaseConfig(from_step=0, frames=FRAMES),),
        prior=shape,
        text=BPEConfig(vocabulary=300, length=6),
        teaching=TeachingConfig(label_smoothing=0.1),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=2, schedule="constant"),
        training=TrainingConfig(
            steps=STEPS,
            batch_size=4,
            precision="bf16",
            sample_every=0,
            validate_every=0,
            checkpoint_every=2,
            log_every=2,
        ),
    )


def flatten_checkpoint(run: Path) -> torch.Tensor:
    """All numbers of the last checkpoint as one vector."""
    newest = steps_in(run / "checkpoints")[-1]
    folder = read_folder(run / "checkpoints" / f"step_{newest:08}")
    parts = [folder.tensors(name) for name in sorted(folder.hashes) if name.endswith(".safetensors")]
    return torch.cat([part[key].double().flatten() for part in parts for key in sorted(part)])
