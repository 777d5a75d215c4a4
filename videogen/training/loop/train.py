"""Train a stage in a run folder: agree on what is resumed, make stage and trainer, run to the end."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from videogen.checkpoint import Folder
from videogen.errors import CheckpointError, UsageError
from videogen.signals import listening
from videogen.training.loop.config import CHANGEABLE, TrainingConfig
from videogen.training.loop.distributed import Accelerator, agreed, processes
from videogen.training.loop.schedule import seed_everything
from videogen.training.loop.stage import BatchT, Stage, begin
from videogen.training.loop.trainer import Listener, Outcome, Trainer
from videogen.training.records.run_folder import OnNote, RunFolder, newest_checkpoint


def train(
    make_stage: Callable[[], Stage[BatchT]],
    config: TrainingConfig,
    folder: Path,
    resolved: Mapping[str, Any],
    resume: bool = False,
    listener: Listener | None = None,
    changeable: frozenset[str] = CHANGEABLE,
    remarks: Sequence[str] = (),
) -> Outcome:
    """Train in a run folder until `config.steps`; Interrupted, after saving, when a signal asks for it.

    `resolved` is the whole configuration as plain data: a run is resumed with the one it began with, but for the
    `changeable` keys. `resume` without an earlier run begins one. The `remarks` are told when nothing is in the way of
    the first step any more.
    """
    run = RunFolder(folder)
    with ExitStack() as stack:
        accelerator, ddp = stack.enter_context(processes(config.precision == "bf16"))
        listener = (accelerator.is_main_process and listener) or Listener()
        if accelerator.is_main_process:
            stack.enter_context(run)
            _agree(run, resolved, resume, changeable, listener.on_note)
        accelerator.wait_for_everyone()
        stack.enter_context(reproducible(config.deterministic, accelerator.device))
        checkpoint = _newest(accelerator, run, listener.on_note)
        seed_everything(config.seed, "weights")
        stage = make_stage()
        if checkpoint is None:
            begin(stage.players)
        ddp.find_unused_parameters = any(player.rests for player in stage.players.values())
        trainer = Trainer(stage, config, run, accelerator, listener)
        trainer.go_on_from(checkpoint)
        if accelerator.is_main_process:
            run.begin(resolved)  # not before: a mistake that stage or trainer found must not stand in the way
        for remark in remarks:
            listener.on_note(remark)
        return trainer.run_to_the_end(stack.enter_context(listening()))


def _agree(
    run: RunFolder, resolved: Mapping[str, Any], resume: bool, changeable: frozenset[str], on_note: OnNote
) -> None:
    if run.begun and not resume:
        raise UsageError(f"{run.path}: a run has begun here; --resume goes on with it, or choose another folder")
    if resume and not run.begun:
        on_note(f"{run.path}: no run has begun here; --resume begins one")
    for note in run.compare(resolved, changeable):
        on_note(note)


def _newest(accelerator: Accelerator, run: RunFolder, on_note: OnNote) -> Folder | None:
    """Process 0 chooses; each process reads for itself, for only so does it know that it read what was written."""
    found = newest_checkpoint(run.checkpoints, on_note) if accelerator.is_main_process else None
    step = agreed(accelerator, -1 if found is None else found[0])
    if found is None and step >= 0:
        found = newest_checkpoint(run.checkpoints, on_note)
        if found is None or found[0] != step:
            raise CheckpointError(f"{run.checkpoints}: step {step} cannot be read by all processes; share the folder")
    return None if found is None else found[1]


@contextmanager
def reproducible(deterministic: bool, device: torch.device) -> Iterator[None]:
    """On a GPU, the fastest kernels, or those alone that give the same bits each time."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic or before[0], warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    with ExitStack() as stack:
        if deterministic and device.type != "cpu":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(torch._inductor.config.patch(deterministic=True))
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=True)
            torch.backends.cudnn.benchmark = before[1]
