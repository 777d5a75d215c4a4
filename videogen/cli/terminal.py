"""What every command shares: --json, --quiet and --debug, progress bars, and one way to print a result."""

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    @contextmanager
    def progress(self, label: str, unit: str) -> Iterator[OnProgress]:
        """A bar on stderr, absent where stderr is no terminal; gives the `on_progress(done, total)` to pass down."""
        from tqdm import tqdm

        hidden = True if self.quiet or self.json else None  # None: tqdm hides itself where there is no terminal
        with tqdm(desc=label, unit=f" {unit}", disable=hidden, dynamic_ncols=True) as bar:

            def on_progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield on_progress

    def report(self, figures: dict[str, Any], text: str) -> None:
        """Print a result: the figures for a program, the text for a person."""
        click.echo(json.dumps(figures, indent=2, ensure_ascii=False) if self.json else text)

    def note(self, text: str) -> None:
        """A remark beside the result, on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr)


def reports(command: Command) -> Command:
    """Give a command the shared options; it receives them as its first argument, a `Terminal`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("--quiet", is_flag=True, help="No progress bars and no remarks.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def run(*arguments: Any, as_json: bool, quiet: bool, debug: bool, **options: Any) -> Any:
        return command(Terminal(as_json, quiet), *arguments, **options)

    return run  # type: ignore[return-value]
