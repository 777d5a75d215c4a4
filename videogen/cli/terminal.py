"""What every command shares: --json, --quiet and --debug, progress bars, and one way to print a result."""

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
    """How to talk to whoever called: figures as JSON or as text, bars or none."""

    json: bool
    quiet: bool
    mute: bool = False  # another process of the same program speaks for all

    @contextmanager
    def progress(self, label: str, unit: str) -> Iterator[OnProgress]:
        """A bar on stderr, absent where stderr is no terminal; gives the `on_progress(done, total)` to pass down."""
        from tqdm import tqdm

        hidden = self.quiet or self.json or self.mute
        with tqdm(
            desc=label,
            unit=f" {unit}",
            disable=hidden or None,  # None: tqdm hides itself where there is no terminal
            dynamic_ncols=True,
        ) as bar:

            def on_progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield on_progress

    def report(self, figures: dict[str, Any], text: str) -> None:
        """Print a result: the figures for a program, the text for a person."""
        if not self.mute:
            click.echo(json.dumps(figures, indent=2, ensure_ascii=False) if self.json else text)

    def note(self, text: str) -> None:
        """A remark beside the result, on stderr."""
        if not (self.quiet or self.mute):
            with suppress(OSError):  # the terminal has gone
                print(text, file=sys.stderr)


def first_process() -> bool:
    """Whether this is the only process of a program, or the first that torchrun or `accelerate launch` started."""
    return "LOCAL_RANK" not in os.environ or os.environ.get("RANK", "0") == "0"


def reports(command: Command) -> Command:
    """Give a command the shared options; it receives them as its first argument, a `Terminal`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("--quiet", is_flag=True, help="No progress bars and no remarks.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def run(*arguments: Any, as_json: bool, quiet: bool, debug: bool, **options: Any) -> Any:
        return command(Terminal(as_json, quiet, mute=not first_process()), *arguments, **options)

    return run  # type: ignore[return-value]
