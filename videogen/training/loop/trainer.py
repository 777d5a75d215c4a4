"""The training loop, for any stage, in one process or many, resumable to the bit.

step: batches -> losses -> gradients -> (all finite?) -> optimizers -> averages -> log, validation, samples, checkpoint
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any, Generic

import torch

from videogen.checkpoint import Folder, write_folder
from videogen.errors import DataError, NumbersError, StorageError, UsageError
from videogen.system.signals import NAMES, Interrupted, StopRequest
from videogen.training.loop.checkpoint_state import capture, export_weights, restore
from videogen.training.loop.config import TrainingConfig
from videogen.training.loop.distributed import Accelerator, gather_lists
from videogen.training.loop.metrics import Progress, StepMetrics, nonfinite, shorten
from videogen.training.loop.module_state import make_distributed, prepare_module
from videogen.training.loop.monitor import (
    PATIENCE,
    BestModel,
    OnAlarm,
    debounce,
    is_better,
    is_overfit,
    overfitting_message,
)
from videogen.training.loop.schedule import Purpose, ema_decay, is_due, seed_everything
from videogen.training.loop.stage import BatchT, Stage
from videogen.training.records.run_folder import OnNote, RunFolder

MAX_NONFINITE_STEPS = 3  # consecutive; then the run stops
OVERFITTING = "overfitting"  # the alarm's name
CARD = "README.md"


@dataclass(frozen=True)
class Callbacks:
    """Called in process 0: steps done, lines of the log, alarms by name, notes, clips encoded before the first step."""

    on_progress: Callable[[int, int], None] = lambda done, total: None
    on_log: Callable[[dict[str, Any]], None] = lambda line: None
    on_alarm: OnAlarm = lambda name, message: None
    on_note: OnNote = lambda note: None
    on_encoding: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class TrainingResult:
    """The last and the best model of a finished run, and its last validation metrics."""

    model: Path
    steps: int
    metrics: dict[str, float]
    best: Path | None = None  # None if nothing was validated
    best_step: int | None = None


class Trainer(Generic[BatchT]):
    """One process of a run. All that changes is `progress` and the tensors of `module_states`."""

    def __init__(
        self,
        stage: Stage[BatchT],
        config: TrainingConfig,
        run: RunFolder,
        accelerator: Accelerator,
        callbacks: Callbacks,
        on_saved: Callable[[int], None] = lambda step: None,
    ):
        if config.batch_size % (config.accumulation * accelerator.num_processes):
            parts = f"{config.accumulation} micro-batches of {accelerator.num_processes} processes"
            raise UsageError(f"training.batch_size is {config.batch_size}; it cannot be divided into {parts}")
        self.stage, self.config, self.run = stage, config, run
        self.accelerator, self.callbacks, self.on_saved = accelerator, callbacks, on_saved
        self.module_states = {
            name: prepare_module(trained, accelerator, config.compile)
            for name, trained in stage.trained_modules.items()
        }
        if stage.extra_state is not None:
            stage.extra_state.to(accelerator.device)
        self.distributed = make_distributed(accelerator, self.module_states)
        self.progress = Progress()
        self.metrics: dict[str, float] = {}

    @property
    def is_main(self) -> bool:
        return self.distributed.rank == 0

    def resume_from(self, checkpoint: Folder | None) -> None:
        """Restore the state of a checkpoint; None starts from the beginning."""
        if checkpoint is not None:
            state = checkpoint.json("state.json")
            restore(self.module_states, self.stage.extra_state, checkpoint.tensors, checkpoint.path)
            self.progress = Progress.from_json(state["progress"])
            if state["processes"] != self.distributed.world_size:
                counts = f"{state['processes']} processes before, {self.distributed.world_size} now"
                self.callbacks.on_note(f"{counts}: the run continues, but draws other random numbers")
        if self.is_main:
            self.run.metrics.rewind(self.progress.step)

    def fit(self, request: StopRequest) -> TrainingResult:
        """Train until the last step. On a signal: save, then raise Interrupted."""
        config, began = self.config, self.progress.step
        with self._batches() as batches:
            meter = SpeedMeter(began)
            while self.progress.step < config.steps:
                try:
                    stop = self._step(batches, request)
                    saved = self._run_due(meter)
                except DataError as error:  # mostly a video that is gone: save what was trained before
                    alone = self.distributed.world_size == 1  # other processes wait at this step and cannot save
                    if self.progress.step == began or not alone:
                        raise
                    self._save()
                    kind = StorageError if isinstance(error, StorageError) else DataError
                    raise kind(f"{error}. Saved first: {self._describe_progress()}; --resume continues") from error
                self.callbacks.on_progress(self.progress.step, config.steps)
                if stop and self.progress.step < config.steps:
                    if not saved:
                        self._save()
                    number = request.number or int(SIGTERM)
                    stopped = (
                        f"stopped by {NAMES[number]} after saving: {self._describe_progress()}; --resume continues"
                    )
                    raise Interrupted(stopped, number)
        if began >= config.steps:
            self._export(self.run.model)  # the run may have been killed between its last checkpoint and the export
            self.on_saved(self.progress.step)
        if self.is_main and (card := self.run.model / CARD).is_file():
            self.run.metrics.add_card(card)
        best = self.progress.best
        place, step = (None, None) if best is None else (self.run.best, best["step"])
        return TrainingResult(self.run.model, self.progress.step, self.metrics, place, step)

    def _describe_progress(self) -> str:
        return f"{self.run.path} holds step {self.progress.step} of {self.config.steps}"

    @contextmanager
    def _batches(self) -> Iterator[Iterator[BatchT]]:
        at, ranks = self.progress, (self.distributed.rank, self.distributed.world_size)
        batches = self.stage.batches(at.position, at.step, self.config.accumulation, *ranks)
        with closing(batches):
            yield batches

    def _step(self, batches: Iterator[BatchT], request: StopRequest) -> bool:
        """One step, taken or skipped; returns whether the processes agreed to stop after it."""
        step, metrics = self.progress.step, StepMetrics()
        self._seed("step")
        for name, state in self.module_states.items():
            state.freeze(self.stage.frozen(name, step))
        for remaining in reversed(range(self.config.accumulation)):
            batch = next(batches)
            with self._without_gradient_sync(remaining > 0):
                self._backward(batch, step, metrics)
        for name in metrics.modules:
            metrics.add(f"gradient/{name}", self.module_states[name].clip_gradients())
        means, stop = metrics.means(request.number > 0, self.distributed.mean)
        if bad := nonfinite(means):
            self._skip_step(bad, metrics)
        else:
            self._optimizer_step(step, metrics.modules, means)
        for state in self.module_states.values():
            state.zero_grad()
        self.progress.step, self.progress.position = step + 1, batch.next_position
        return stop

    def _backward(self, batch: BatchT, step: int, metrics: StepMetrics) -> None:
        losses = self.stage.losses(batch, step, self.distributed)
        while True:
            with self.accelerator.autocast():
                output = next(losses, None)
            if output is None:
                return
            metrics.add_output(output, batch.keys)
            self.accelerator.backward(output.loss / self.config.accumulation)

    @contextmanager
    def _without_gradient_sync(self, active: bool) -> Iterator[None]:
        """Only the last micro-batch needs to average gradients over processes."""
        with ExitStack() as stack:
            for state in self.module_states.values() if active else ():
                stack.enter_context(self.accelerator.no_sync(state.module))
            yield

    def _optimizer_step(self, step: int, modules: list[str], means: dict[str, float]) -> None:
        for name in modules:
            self.module_states[name].step(step, self.config.steps)
        for name, rows in self.stage.after_step(step, means, self.distributed).items():
            self.module_states[name].jump(rows)
        for name in modules:
            self.module_states[name].update_ema(ema_decay(self.config.average_decay, step))
        self.progress.add(means)
        self.progress.nonfinite_keys = []

    def _skip_step(self, bad: list[str], metrics: StepMetrics) -> None:
        progress = self.progress
        progress.skipped += 1
        suspects = gather_lists(self.accelerator, metrics.nonfinite_keys())  # none anywhere: it was a gradient
        progress.nonfinite_keys.append(suspects or gather_lists(self.accelerator, metrics.keys()))
        clips = shorten(key for keys in progress.nonfinite_keys for key in keys)
        problem = f"step {progress.step + 1}: {', '.join(bad)} not finite"
        if len(progress.nonfinite_keys) >= MAX_NONFINITE_STEPS:
            raise NumbersError(
                f"{problem}, {MAX_NONFINITE_STEPS} steps in a row; none was taken. Clips: {clips}. Look at them, or "
                "lower the learning rate; --resume continues from the last checkpoint"
            )
        self.callbacks.on_note(f"{problem}; the step was skipped. Clips: {clips}")

    def _run_due(self, meter: "SpeedMeter") -> bool:
        """Log, validate, sample and save where due after this step; returns whether it saved a checkpoint."""
        step, config = self.progress.step, self.config
        last = step == config.steps
        if is_due(config.log_every, step) or last:
            self._log(meter)
        if is_due(config.validate_every, step) or last:
            self._validate()
        if is_due(config.sample_every, step) or last:
            self._write_samples()
        save = is_due(config.checkpoint_every, step) or last
        if save:
            self._save()
        return save

    def _log(self, meter: "SpeedMeter") -> None:
        progress, steps = self.progress, self.config.steps
        means = progress.pop_means()
        messages = self.stage.alarms(progress.step, means)
        progress.alarm_counts = debounce(progress.alarm_counts, messages, self.callbacks.on_alarm)
        progress.training_metric = means.get(self.stage.monitored.training, progress.training_metric)
        states = self.module_states.items()
        rates = {f"rate/{name}": state.learning_rate(progress.step - 1, steps) for name, state in states}
        alarms = [name for name, count in progress.alarm_counts.items() if count >= PATIENCE]
        alarms = sorted(alarms + [OVERFITTING] * (progress.overfit_count >= PATIENCE))
        numbers = {**means, **rates, "skipped": progress.skipped, "alarms": alarms}
        progress.skipped = 0
        if self.is_main:
            speed = meter.speed(progress.step, self.config.batch_size)
            line = self.run.metrics.append(progress.step, "train", {**numbers, "speed": speed})
            self.callbacks.on_log(line)

    def _validate(self) -> None:
        self._seed("validation")
        with self._evaluation_mode():
            self.metrics = self.stage.validate(self.distributed)
        if self.is_main and self.metrics:
            self.callbacks.on_log(self.run.metrics.append(self.progress.step, "validation", self.metrics))
        if self.stage.monitored.validation in self.metrics:
            self._update_best(self.metrics[self.stage.monitored.validation])

    def _update_best(self, value: float) -> None:
        """Keep the model if it is the best so far, or count how long the run has been overfit."""
        progress, metric = self.progress, self.stage.monitored
        best = None if progress.best is None else BestModel(**progress.best)
        if best is None or is_better(metric, value, best):
            progress.best, progress.overfit_count = asdict(BestModel(progress.step, value, progress.training_metric)), 0
            note = f"The best of its run: {metric.validation} {value:.4g} at step {progress.step}.\n"
            self._export(self.run.best, note)
            return
        overfit = is_overfit(metric, value, progress.training_metric, best)
        progress.overfit_count = progress.overfit_count + 1 if overfit else 0
        if progress.overfit_count == PATIENCE:
            self.callbacks.on_alarm(OVERFITTING, overfitting_message(metric, value, best, self.run.best))

    def _write_samples(self) -> None:
        self._seed("samples")
        place = self.run.samples / f"step_{self.progress.step:08}"
        with self._evaluation_mode():
            self.stage.write_samples(self.distributed, place)
        if self.is_main:
            self.run.metrics.add_samples(place, self.progress.step)

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        """Averaged weights, no gradients, modules in eval mode."""
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for state in self.module_states.values():
                stack.enter_context(state.use_average())
                state.module.eval()
            try:
                yield
            finally:
                for state in self.module_states.values():
                    state.module.train()

    def _save(self) -> None:
        """Write a checkpoint, then export the model: `model/` always holds the newest."""
        files: dict[str, Any] = dict(capture(self.module_states, self.stage.extra_state, self.is_main))
        if self.is_main:
            progress = asdict(self.progress)
            state = {"stage": self.stage.name, "processes": self.distributed.world_size, "progress": progress}
            self.run.save(self.progress.step, {**files, "state.json": state}, self.config.keep, self.config.keep_every)
        self._export(self.run.model)
        self.on_saved(self.progress.step)

    def _export(self, place: Path, note: str = "") -> None:
        weights = export_weights(self.module_states, self.is_main)
        if self.is_main:
            files = dict(self.stage.export(weights))
            if note and CARD in files:
                files[CARD] = f"{files[CARD]}\n{note}"
            write_folder(place, files)
        self.accelerator.wait_for_everyone()

    def _seed(self, purpose: Purpose) -> None:
        seed_everything(self.config.seed, purpose, self.progress.step, self.distributed.rank)


class SpeedMeter:
    """Steps and clips a second since the last call, validation and saving included."""

    def __init__(self, step: int):
        self.step, self.time = step, time.perf_counter()

    def speed(self, step: int, clips: int) -> dict[str, float]:
        now = time.perf_counter()
        steps_per_second = (step - self.step) / max(1e-9, now - self.time)
        self.step, self.time = step, now
        return {"steps_per_second": steps_per_second, "clips_per_second": steps_per_second * clips}
