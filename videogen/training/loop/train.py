"""Train a stage in a run folder: check the configuration, find the checkpoint, run the trainer."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from videogen.checkpoint import Folder
from videogen.errors import CheckpointError, UsageError
from videogen.storage import RemotePath
from videogen.system.signals import catch_signals
from videogen.training.loop.config import CHANGEABLE, TrainingConfig
from videogen.training.loop.distributed import Accelerator, broadcast_int, processes
from videogen.training.loop.mirror import Mirror
from videogen.training.loop.schedule import seed_everything
from videogen.training.loop.stage import BatchT, Stage, init_weights
from videogen.training.loop.trainer import Callbacks, Trainer, TrainingResult
from videogen.training.records.open_trackers import open_trackers
from videogen.training.records.run_folder import OnNote, RunFolder, newest_checkpoint
from videogen.training.records.services import check_services


def train(
    make_stage: Callable[[], Stage[BatchT]],
    config: TrainingConfig,
    folder: Path,
    resolved: Mapping[str, Any],
    resume: bool = False,
    callbacks: Callbacks | None = None,
    changeable: frozenset[str] = CHANGEABLE,
    notes: Sequence[str] = (),
) -> TrainingResult:
    """Train in a run folder until `config.steps`; on a signal, save and raise Interrupted.

    `resolved` is the whole configuration as JSON data: a run must be resumed with the one it began with, except for
    the `changeable` keys. `resume` begins a run if there is none. The `notes` are reported before the first step, once
    all checks have passed.
    """
    check_services(config.trackers)
    run = RunFolder(folder)
    on_saved: Callable[[int], None] = lambda step: None  # noqa: E731 - the other processes have nothing to copy
    with ExitStack() as stack:
        accelerator, ddp = stack.enter_context(processes(config.precision == "bf16"))
        callbacks = callbacks if callbacks is not None and accelerator.is_main_process else Callbacks()
        if accelerator.is_main_process:
            stack.enter_context(run)
            _check_config(run, resolved, resume, changeable, callbacks.on_note)
            on_saved = _mirrored(stack, config, run, callbacks.on_note)
        accelerator.wait_for_everyone()
        stack.enter_context(reproducible(config.deterministic, accelerator.device))
        checkpoint = _find_checkpoint(accelerator, run, callbacks.on_note)
        seed_everything(config.seed, "weights")
        stage = make_stage()
        if checkpoint is None:
            init_weights(stage.trained_modules)
        ddp.find_unused_parameters = any(trained.may_freeze for trained in stage.trained_modules.values())
        trainer = Trainer(stage, config, run, accelerator, callbacks, on_saved)
        trainer.resume_from(checkpoint)
        if accelerator.is_main_process:
            run.write_config(resolved)  # not earlier: a failed check must not leave a run behind
            step = trainer.progress.step
            run.metrics.trackers = open_trackers(config.trackers, run, resolved, step, callbacks.on_note)
        for note in notes:
            callbacks.on_note(note)
        return trainer.fit(stack.enter_context(catch_signals()))


def _mirrored(stack: ExitStack, config: TrainingConfig, run: RunFolder, on_note: OnNote) -> Callable[[int], None]:
    """Copies checkpoints to the mirror until the stack is closed, which waits for the last one."""
    if not isinstance(config.mirror, RemotePath):
        return lambda step: None
    mirror = Mirror(config.mirror, run.path, on_note)
    mirror.check_target(run.has_started)
    return stack.enter_context(mirror).push


def _check_config(
    run: RunFolder, resolved: Mapping[str, Any], resume: bool, changeable: frozenset[str], on_note: OnNote
) -> None:
    if run.has_started and not resume:
        raise UsageError(f"{run.path}: a run has begun here; --resume continues it, or choose another folder")
    if resume and not run.has_started:
        on_note(f"{run.path}: no run has begun here; --resume begins one")
    for note in run.check_config(resolved, changeable):
        on_note(note)


def _find_checkpoint(accelerator: Accelerator, run: RunFolder, on_note: OnNote) -> Folder | None:
    """Process 0 chooses; every process reads, and checks, the same checkpoint for itself."""
    found = newest_checkpoint(run.checkpoints, on_note) if accelerator.is_main_process else None
    step = broadcast_int(accelerator, -1 if found is None else found[0])
    if found is None and step >= 0:
        found = newest_checkpoint(run.checkpoints, on_note)
        if found is None or found[0] != step:
            raise CheckpointError(f"{run.checkpoints}: step {step} cannot be read by all processes; share the folder")
    return None if found is None else found[1]


@contextmanager
def reproducible(deterministic: bool, device: torch.device) -> Iterator[None]:
    """On a GPU: deterministic kernels only, or else the fastest ones."""
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
