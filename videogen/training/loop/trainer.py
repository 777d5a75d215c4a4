"""The loop: whatever a stage wants minimised, in one process or many, stopped and resumed without a trace.

step: batches -> turns -> gradients -> (all finite?) -> optimizers -> averages -> log, validation, samples, checkpoint
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
from videogen.errors import DataError, NumbersError, UsageError
from videogen.signals import NAMES, Interrupted, Request
from videogen.training.loop import monitor
from videogen.training.loop.checkpoint_state import capture, exported, restore
from videogen.training.loop.config import TrainingConfig
from videogen.training.loop.distributed import Accelerator, from_everyone
from videogen.training.loop.metrics import Progress, StepTally, not_finite, shortened
from videogen.training.loop.module_state import make_team, seat
from videogen.training.loop.monitor import PATIENCE, OnAlarm, after_a_look
from videogen.training.loop.schedule import Purpose, every, seed_everything
from videogen.training.loop.stage import BatchT, Stage
from videogen.training.records.run_folder import OnNote, RunFolder

BAD_STEPS = 3  # in a row: then the run stops
OVERFITTING = "overfitting"  # the alarm's name
CARD = "README.md"


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
        alarms = sorted(alarms + [OVERFITTING] * (progress.overfit >= monitor.PATIENCE))
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
        so_far = None if progress.best is None else monitor.Best(**progress.best)
        if monitor.is_better(judged, value, so_far):
            progress.best, progress.overfit = asdict(monitor.Best(progress.step, value, progress.trained)), 0
            self._export(self.run.best, f"The best of its run: {judged.figure} {value:.4g} at step {progress.step}.\n")
            return
        assert so_far is not None
        progress.overfit = progress.overfit + 1 if monitor.is_overfit(judged, value, progress.trained, so_far) else 0
        if progress.overfit == monitor.PATIENCE:
            self.listener.on_alarm(OVERFITTING, monitor.words_for(judged, value, so_far, self.run.best))

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
