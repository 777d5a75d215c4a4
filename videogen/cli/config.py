"""`videogen config`: look at what a configuration file comes to."""

from pathlib import Path

import click

from videogen.cli.terminal import Terminal, reports


@click.group()
def config() -> None:
    """Look at configuration files."""


@config.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@reports
def show(terminal: Terminal, file: Path, overrides: tuple[str, ...]) -> None:
    """Print the resolved configuration FILE, and where each value came from.

    \b
    Example:
      videogen config show configs/playroom/held_out.yaml clips=100
    """
    from videogen.config import as_json, as_yaml, resolve

    schema, resolved = resolve(file, overrides)
    terminal.report({"schema": schema, **as_json(resolved)}, as_yaml(schema, resolved).rstrip("\n"))
