"""The options --json, --quiet and --debug of every command, progress bars, and printing of results."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Terminal:
    """How a command prints: results as JSON or text, with or without progress bars."""

    json: bool
    quiet: bool
    mute: bool = False  # in all processes of a program but the first

    @contextmanager
    def progress(self, label: str, unit: str) -> Iterator[OnProgress]:
        """A bar on stderr, hidden if stderr is not a terminal; yields the `on_progress(done, total)` to pass down."""
        from tqdm import tqdm

        hidden = self.quiet or self.json or self.mute
        with tqdm(
            desc=label,
            unit=f" {unit}",
            disable=hidden or None,  # None: tqdm hides itself without a terminal
            dynamic_ncols=True,
        ) as bar:

            def on_progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield on_progress

    def report(self, values: dict[str, Any], text: str) -> None:
        """Print a result to stdout: the values with --json, else the text."""
        if not self.mute:
            click.echo(json.dumps(values, indent=2, ensure_ascii=False) if self.json else text)

    def note(self, text: str) -> None:
        """Print a line to stderr, unless --quiet."""
        if not (self.quiet or self.mute):
            with suppress(OSError):  # the terminal has gone
                print(text, file=sys.stderr)


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that torchrun or `accelerate launch` started."""
    return "LOCAL_RANK" not in os.environ or os.environ.get("RANK", "0") == "0"


def terminal_options(command: Command) -> Command:
    """Adds the shared options; the command gets them as its first argument, a `Terminal`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("--quiet", is_flag=True, help="Print no progress bars and no notes.")
    @click.option("--debug", is_flag=True, help="Print the traceback of an error.")
    @functools.wraps(command)
    def run(*arguments: Any, as_json: bool, quiet: bool, debug: bool, **options: Any) -> Any:
        return command(Terminal(as_json, quiet, mute=not is_first_process()), *arguments, **options)

    return run  # type: ignore[return-value]
