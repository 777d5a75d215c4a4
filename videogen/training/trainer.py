"""The loop: whatever a stage wants minimised, in one process or many, stopped and resumed without a trace.

step: batches -> turns -> gradients -> (all finite?) -> optimizers -> averages -> log, validation, samples, checkpoint
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any, Generic, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from videogen.checkpoint import Folder, write_folder
from videogen.errors import CheckpointError, DataError, NumbersError, UsageError
from videogen.signals import NAMES, Interrupted, Request, listening
from videogen.training import best
from videogen.training.onsets import PATIENCE, OnAlarm, after_a_look
from videogen.training.players import seat
from videogen.training.processes import Accelerator, agreed, from_everyone, processes
from videogen.training.randomness import Purpose, seed_everything
from videogen.training.run_folder import OnNote, RunFolder, newest_checkpoint
from videogen.training.schedule import every
from videogen.training.stage import BatchT, Stage, begin
from videogen.training.state import capture, exported, restore
from videogen.training.tally import Progress, StepTally, not_finite, shortened
from videogen.training.team import make_team

BAD_STEPS = 3  # in a row: then the run stops
OVERFITTING = "overfitting"  # the alarm's name
CARD = "README.md"
CHANGEABLE = frozenset(
    f"training.{name}"
    for name in ("steps", "log_every", "validate_every", "sample_every", "checkpoint_every", "keep", "keep_every")
)  # what a run may be resumed with other values of


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how much at once, and what is written down when; an interval of 0 means never (but at the end)."""

    steps: int
    batch_size: int  # clips a step, in all micro-batches of all processes together
    accumulation: int = 1  # micro-batches a step: less memory; terms over a batch (see docs) look at one of them
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    deterministic: bool = False  # on a GPU, slower: the same bits each time, resumed or not; a CPU does it anyway
    average_decay: float = 0.999
    log_every: int = 20
    validate_every: int = 500
    sample_every: int = 500
    checkpoint_every: int = 500
    keep: int = 2  # so many of the last checkpoints stay
    keep_every: int = 0  # and those of each so many steps

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("validate_every", "sample_every", "checkpoint_every", "keep_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed is {self.seed}; it must lie in 0 .. 2^64 - 1")
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation is {self.accumulation}; it must divide batch_size, {self.batch_size}")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay is {self.average_decay:g}; it must lie in [0, 1)")


@dataclass(frozen=True)
class Listener:
    """Who is told what, in process 0: steps done, lines of the log, alarms by name, remarks."""

    on_progress: Callable[[int, int], None] = lambda done, total: None
    on_log: Callable[[dict[str, Any]], None] = lambda line: None
    on_alarm: OnAlarm = lambda name, message: None
    on_note: OnNote = lambda note: None


@dataclass(frozen=True)
class Outcome:
    """Where a finished run left its models, the last and the best, and the last figures of its validation."""

    model: Path
    steps: int
    figures: dict[str, float]
    best: Path | None = None  # none where nothing was ever validated
    best_step: int | None = None


def train(
    make_stage: Callable[[], Stage[BatchT]],
    config: TrainingConfig,
    folder: Path,
    resolved: Mapping[str, Any],
    resume: bool = False,
    listener: Listener = Listener(),
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
        listener = listener if accelerator.is_main_process else Listener()
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


class Trainer(Generic[BatchT]):
    """One run in one process of it: `progress` and the seats' tensors are all that changes."""

    def __init__(
        self,
        stage: Stage[BatchT],
        config: TrainingConfig,
        run: RunFolder,
        accelerator: Accelerator,
        listener: Listener,
    ):
        if config.batch_size % (config.accumulation * accelerator.num_processes):
            parts = f"{config.accumulation} micro-batches of {accelerator.num_processes} processes"
            raise UsageError(f"training.batch_size is {config.batch_size}; it cannot be shared out to {parts}")
        self.stage, self.config, self.run = stage, config, run
        self.accelerator, self.listener = accelerator, listener
        self.seats = {name: seat(player, accelerator, config.compile) for name, player in stage.players.items()}
        if stage.memory is not None:
            stage.memory.to(accelerator.device)
        self.team = make_team(accelerator, self.seats)
        self.progress = Progress()
        self.figures: dict[str, float] = {}

    @property
    def main(self) -> bool:
        return self.team.rank == 0

    def go_on_from(self, checkpoint: Folder | None) -> None:
        """Take up the run where a checkpoint left it, or begin."""
        if checkpoint is not None:
            state = checkpoint.json("state.json")
            restore(self.seats, self.stage.memory, checkpoint.tensors, checkpoint.path)
            self.progress = Progress(**state["progress"])
            if state["processes"] != self.team.world:
                counts = f"{state['processes']} processes before, {self.team.world} now"
                self.listener.on_note(f"{counts}: the run goes on, but draws other random numbers")
        if self.main:
            self.run.metrics.rewind(self.progress.step)

    def run_to_the_end(self, request: Request) -> Outcome:
        config, began = self.config, self.progress.step
        with self._batches() as batches:
            clock = Clock(began)
            while self.progress.step < config.steps:
                try:
                    stop = self._step(batches, request)
                    saved = self._write_down(clock)
                except DataError as error:  # a video that has gone, mostly: it must not cost what was made before
                    if self.progress.step == began or self.team.world > 1:  # others wait at this step, and cannot save
                        raise
                    self._save()
                    raise DataError(f"{error}. Saved first: {self._place()}; --resume goes on") from error
                self.listener.on_progress(self.progress.step, config.steps)
                if stop and self.progress.step < config.steps:
                    if not saved:
                        self._save()
                    number = request.number or int(SIGTERM)
                    raise Interrupted(
                        f"stopped by {NAMES[number]} after saving: {self._place()}; --resume goes on", number
                    )
        if began >= config.steps:
            self._export(self.run.model)  # it may have been killed between its last checkpoint and this
        kept = self.progress.best
        place, step = (None, None) if kept is None else (self.run.best, kept["step"])
        return Outcome(self.run.model, self.progress.step, self.figures, place, step)

    def _place(self) -> str:
        return f"{self.run.path} holds step {self.progress.step} of {self.config.steps}"

    @contextmanager
    def _batches(self) -> Iterator[Iterator[BatchT]]:
        at, team = self.progress, self.team
        batches = self.stage.batches(at.position, at.step, self.config.accumulation, team.rank, team.world)
        with closing(batches):
            yield batches

    def _step(self, batches: Iterator[BatchT], request: Request) -> bool:
        """One step, taken or passed over; whether the processes have agreed to stop after it."""
        step, tally = self.progress.step, StepTally()
        self._seed("step")
        for name, player in self.seats.items():
            player.rest(self.stage.resting(name, step))
        for remaining in reversed(range(self.config.accumulation)):
            batch = next(batches)
            with self._gradients_stay_here(remaining > 0):
                self._take_turns(batch, step, tally)
        for name in tally.players:
            tally.add(f"gradient/{name}", self.seats[name].clip())
        means, stop = tally.means(request.number > 0, self.team.mean)
        if bad := not_finite(means):
            self._pass_over(bad, tally)
        else:
            self._apply(step, tally.players, means)
        for player in self.seats.values():
            player.forget_gradients()
        self.progress.step, self.progress.position = step + 1, batch.next
        return stop

    def _take_turns(self, batch: BatchT, step: int, tally: StepTally) -> None:
        turns = self.stage.turns(batch, step, self.team)
        while True:
            with self.accelerator.autocast():
                turn = next(turns, None)
            if turn is None:
                return
            tally.take(turn, batch.keys)
            self.accelerator.backward(turn.total / self.config.accumulation)

    @contextmanager
    def _gradients_stay_here(self, here: bool) -> Iterator[None]:
        """Before the last micro-batch gradients need not be the mean over processes yet."""
        with ExitStack() as stack:
            for player in self.seats.values() if here else ():
                stack.enter_context(self.accelerator.no_sync(player.module))
            yield

    def _apply(self, step: int, players: list[str], means: dict[str, float]) -> None:
        for name in players:
            self.seats[name].step(step, self.config.steps, self.config.average_decay)
        self.stage.applied(step, means)
        self.progress.add(means)
        self.progress.bad = []

    def _pass_over(self, bad: list[str], tally: StepTally) -> None:
        progress = self.progress
        progress.skipped += 1
        suspects = from_everyone(self.accelerator, tally.suspects())  # none anywhere: it was a gradient
        progress.bad.append(suspects or from_everyone(self.accelerator, tally.keys()))
        clips = shortened(key for keys in progress.bad for key in keys)
        said = f"step {progress.step + 1}: {', '.join(bad)} not finite"
        if len(progress.bad) >= BAD_STEPS:
            raise NumbersError(
                f"{said}, {BAD_STEPS} steps in a row; none was taken. Clips: {clips}. Look at them, or lower the "
                "learning rate; --resume goes on from the last checkpoint"
            )
        self.listener.on_note(f"{said}; the step was not taken. Clips: {clips}")

    def _write_down(self, clock: "Clock") -> bool:
        """What is due after this step; whether a checkpoint was."""
        step, config = self.progress.step, self.config
        last = step == config.steps
        if every(config.log_every, step) or last:
            self._log(clock)
        if every(config.validate_every, step) or last:
            self._validate()
        if every(config.sample_every, step) or last:
            self._draw_samples()
        due = every(config.checkpoint_every, step) or last
        if due:
            self._save()
        return due

    def _log(self, clock: "Clock") -> None:
        progress = self.progress
        means = progress.taken()
        progress.held = after_a_look(progress.held, self.stage.alarms(progress.step, means), self.listener.on_alarm)
        progress.trained = means.get(self.stage.judged.term, progress.trained)
        rates = {f"rate/{name}": seat.rate(progress.step - 1, self.config.steps) for name, seat in self.seats.items()}
        alarms = [name for name, looks in progress.held.items() if looks >= PATIENCE]
        alarms = sorted(alarms + [OVERFITTING] * (progress.overfit >= best.PATIENCE))
        numbers = {**means, **rates, "skipped": progress.skipped, "alarms": alarms}
        progress.skipped = 0
        if self.main:
            speed = clock.speed(progress.step, self.config.batch_size)
            line = self.run.metrics.append(progress.step, "train", {**numbers, "speed": speed})
            self.listener.on_log(line)

    def _validate(self) -> None:
        self._seed("validation")
        with self._weights_for_use():
            self.figures = self.stage.validate(self.team)
        if self.main and self.figures:
            self.listener.on_log(self.run.metrics.append(self.progress.step, "validation", self.figures))
        if self.stage.judged.figure in self.figures:
            self._compare(self.figures[self.stage.judged.figure])

    def _compare(self, value: float) -> None:
        """Keep the model if it is the best so far; say it, once, if it has been worse for long while training falls."""
        progress, judged = self.progress, self.stage.judged
        so_far = None if progress.best is None else best.Best(**progress.best)
        if best.is_better(judged, value, so_far):
            progress.best, progress.overfit = asdict(best.Best(progress.step, value, progress.trained)), 0
            self._export(self.run.best, f"The best of its run: {judged.figure} {value:.4g} at step {progress.step}.\n")
            return
        assert so_far is not None
        progress.overfit = progress.overfit + 1 if best.is_overfit(judged, value, progress.trained, so_far) else 0
        if progress.overfit == best.PATIENCE:
            self.listener.on_alarm(OVERFITTING, best.words_for(judged, value, so_far, self.run.best))

    def _draw_samples(self) -> None:
        self._seed("samples")
        place = self.run.samples / f"step_{self.progress.step:08}"
        with self._weights_for_use():
            self.stage.draw_samples(self.team, place)
        if self.main:
            self.run.metrics.show(place, self.progress.step)

    @contextmanager
    def _weights_for_use(self) -> Iterator[None]:
        """Averages in place of weights, no gradients, layers in the mode that use has."""
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for player in self.seats.values():
                stack.enter_context(player.averaged())
                player.module.eval()
            try:
                yield
            finally:
                for player in self.seats.values():
                    player.module.train()

    def _save(self) -> None:
        """Checkpoint, then the model as it is used: the folder `model/` always holds the newest."""
        files: dict[str, Any] = dict(capture(self.seats, self.stage.memory, self.main))
        if self.main:
            state = {"stage": self.stage.name, "processes": self.team.world, "progress": asdict(self.progress)}
            self.run.save(self.progress.step, {**files, "state.json": state}, self.config.keep, self.config.keep_every)
        self._export(self.run.model)

    def _export(self, place: Path, remark: str = "") -> None:
        weights = exported(self.seats, self.main)
        if self.main:
            files = dict(self.stage.export(weights))
            if remark and CARD in files:
                files[CARD] = f"{files[CARD]}\n{remark}"
            write_folder(place, files)
        self.accelerator.wait_for_everyone()

    def _seed(self, purpose: Purpose) -> None:
        seed_everything(self.config.seed, purpose, self.progress.step, self.team.rank)


class Clock:
    """How fast the steps since the last look were, whatever happened between them."""

    def __init__(self, step: int):
        self.step, self.time = step, time.perf_counter()

    def speed(self, step: int, clips: int) -> dict[str, float]:
        now = time.perf_counter()
        steps_per_second = (step - self.step) / max(1e-9, now - self.time)
        self.step, self.time = step, now
        return {"steps_per_second": steps_per_second, "clips_per_second": steps_per_second * clips}


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
