"""The options --json, --quiet and --debug of every command, and printing of progress and results."""

import functools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from videogen.cli.progress import ProgressDisplay, print_above_bars

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Terminal:
    """How a command prints: results as JSON or text, with or without progress."""

    json: bool
    quiet: bool
    mute: bool = False  # in all processes of a program but the first

    def progress(self, label: str, unit: str, has_lines: bool = False) -> ProgressDisplay:
        """The `on_progress(done, total)` to pass down; `has_lines`: the command says itself how far it is."""
        return ProgressDisplay(
            label, unit, None if has_lines else self.note, hidden=self.quiet or self.json or self.mute
        )

    def report(self, values: dict[str, Any], text: str) -> None:
        """Print a result to stdout: the values with --json, else the text."""
        if not self.mute:
            click.echo(json.dumps(values, indent=2, ensure_ascii=False) if self.json else text)

    def note(self, text: str) -> None:
        """Print a line to stderr, unless --quiet."""
        if not (self.quiet or self.mute):
            with suppress(OSError):  # the terminal has gone
                print_above_bars(text)


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that torchrun or `accelerate launch` started."""
    return "LOCAL_RANK" not in os.environ or os.environ.get("RANK", "0") == "0"


def terminal_options(command: Command) -> Command:
    """Adds the shared options; the command gets them as its first argument, a `Terminal`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("--quiet", is_flag=True, help="Print no progress and no notes.")
    @click.option("--debug", is_flag=True, help="Print the traceback of an error.")
    @functools.wraps(command)
    def run(*arguments: Any, as_json: bool, quiet: bool, debug: bool, **options: Any) -> Any:
        return command(Terminal(as_json, quiet, mute=not is_first_process()), *arguments, **options)

    return run  # type: ignore[return-value]
