"""Weights & Biases, MLflow and Trackio, through the trackers of accelerate, where they are installed.

A run keeps its name at each service in tracker-NAME.json, so that a resumed run continues there. Steps that a resumed
run repeats have the same numbers as before, and are not sent again.
"""

import contextlib
import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from videogen.checkpoint import as_json
from videogen.errors import UsageError
from videogen.training.records.tensorboard import IMAGE, VIDEO
from videogen.training.records.tracker import flatten_scalars

Service = Literal["wandb", "mlflow", "trackio"]
PROJECT = "VIDEOGEN_PROJECT"  # environment variable: the project, or experiment, in which runs are listed
CARD = "model_card.md"


def check_services(names: Sequence[Service]) -> None:
    """UsageError for a service that cannot be used, before anything is trained."""
    for name in names:
        if find_spec(name) is None:
            raise UsageError(f"training.trackers names {name}, which is not installed; `pip install {name}` adds it")
    if "wandb" in names and os.environ.get("WANDB_MODE", "online") == "online" and not _is_logged_in():
        raise UsageError(
            "training.trackers names wandb, but nobody is logged in; run `wandb login`, or set WANDB_MODE=offline"
        )


def _is_logged_in() -> bool:
    """To Weights & Biases; nothing is asked, here or by its server."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # older versions
        return wandb.api.api_key is not None


class OtherThreads:
    """stdout, but what the thread that made it prints goes to stderr."""

    def __init__(self, stdout: Any):
        self._stdout, self._thread = stdout, threading.current_thread()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if threading.current_thread() is self._thread else self._stdout, name)


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """In this thread alone: stdout is for the result of the command, which may end while a service hangs."""
    before, during = sys.stdout, OtherThreads(sys.stdout)
    sys.stdout = during
    try:
        yield
    finally:
        if sys.stdout is during:  # else another service put its own around it
            sys.stdout = before


class SentRecord:
    """What a run has sent to a service: the run's name there, and the last step of each kind of line."""

    def __init__(self, folder: Path, service: str):
        self._place = folder / f"tracker-{service}.json"
        self.run: str | None = None
        self._steps: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(self._place.read_text())
            self.run, self._steps = str(known["run"]), {name: int(step) for name, step in known["steps"].items()}

    def write(self, run: str) -> None:
        self.run = run
        partial = self._place.with_name(f"{self._place.name}.partial")
        partial.write_text(as_json({"run": run, "steps": self._steps}))
        partial.replace(self._place)

    def is_new(self, kind: str, step: int) -> bool:
        return step > self._steps.get(kind, -1)

    def sent(self, kind: str, step: int) -> None:
        assert self.run is not None
        self._steps[kind] = step
        self.write(self.run)


class ServiceTracker:
    """Implements `Tracker` for a service that begins a run with `id`, or continues the run of that id."""

    name: ClassVar[Service]

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS  # type: ignore[import-untyped]

        self.record = SentRecord(folder, self.name)
        began = self.record.run is not None
        project, run = os.environ.get(PROJECT, "videogen"), self.record.run or self.new_run(folder)
        self.tracker: Any = LOGGER_TYPE_TO_CLASS[self.name](project, **self.options(run, folder, began))
        with prints_to_stderr():
            self.tracker.start()
        self.record.write(self.run_of(run))
        if not began:
            self.tracker.store_init_configuration(flatten(config))

    def new_run(self, folder: Path) -> str:
        return uuid.uuid4().hex

    def options(self, run: str, folder: Path, began: bool) -> dict[str, Any]:
        raise NotImplementedError

    def run_of(self, run: str) -> str:
        """The name of the run at the service, where that gives it."""
        return run

    def add_scalars(self, kind: str, line: Mapping[str, Any], step: int) -> None:
        if self.record.is_new(kind, step):
            self.tracker.log({f"{kind}/{name}": value for name, value in flatten_scalars(line)}, step=step)
            self.record.sent(kind, step)

    def add_samples(self, place: Path, step: int) -> None:
        files = {name: place.with_suffix(suffix) for name, suffix in (("image", IMAGE), ("video", VIDEO))}
        files = {name: file for name, file in files.items() if file.is_file()}
        if files and self.record.is_new("samples", step):
            self.send_samples(files, step)
            self.record.sent("samples", step)

    def send_samples(self, files: Mapping[str, Path], step: int) -> None:
        package = import_module(self.name)
        kinds = {"image": package.Image, "video": package.Video}
        self.tracker.log({f"samples/{name}": kinds[name](str(file)) for name, file in files.items()}, step=step)

    def add_card(self, card: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        with prints_to_stderr():
            self.tracker.finish()


class WeightsAndBiases(ServiceTracker):
    name = "wandb"

    def options(self, run: str, folder: Path, began: bool) -> dict[str, Any]:
        import wandb

        quiet = wandb.Settings(console="off", silent=True)
        return {"id": run, "name": folder.name, "resume": "allow", "dir": str(folder), "settings": quiet}

    def add_card(self, card: Path) -> None:
        place = Path(self.tracker.tracker.dir) / CARD
        place.write_bytes(card.read_bytes())
        self.tracker.tracker.save(str(place), base_path=str(place.parent), policy="now")


class MLflow(ServiceTracker):
    name = "mlflow"

    def options(self, run: str, folder: Path, began: bool) -> dict[str, Any]:
        return {"run_id": run} if began else {"run_name": folder.name}

    def run_of(self, run: str) -> str:
        return str(self.tracker.tracker.info.run_id)

    def send_samples(self, files: Mapping[str, Path], step: int) -> None:
        for file in files.values():
            self.tracker.log_artifact(str(file), "samples")

    def add_card(self, card: Path) -> None:
        import mlflow

        mlflow.log_text(card.read_text(encoding="utf-8"), CARD)


class Trackio(ServiceTracker):
    name = "trackio"

    def new_run(self, folder: Path) -> str:
        return f"{folder.name} {uuid.uuid4().hex[:8]}"  # it knows runs by their names alone

    def options(self, run: str, folder: Path, began: bool) -> dict[str, Any]:
        return {"name": run, "resume": "allow", "embed": False}

    def add_card(self, card: Path) -> None:
        import trackio

        self.tracker.log({"model_card": trackio.Markdown(card.read_text(encoding="utf-8"))})


TRACKERS: dict[Service, type[ServiceTracker]] = {each.name: each for each in (WeightsAndBiases, MLflow, Trackio)}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names and plain values, as all services take them; lists as JSON."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return found
