"""`videogen config`: what presets there are, and what a configuration file comes to."""

import click

from videogen.cli.terminal import Terminal, reports


@click.group()
def config() -> None:
    """Look at configuration files, and at the presets that come with the program."""


@config.command("list")
@reports
def list_(terminal: Terminal) -> None:
    """List the presets, by the names that commands take in place of a file."""
    from videogen.config import SCHEMAS
    from videogen.config.presets import presets, purpose, short_names

    known = presets(SCHEMAS)
    names = short_names(known)
    rows = [
        {"name": name, "file": str(place), "says": purpose(place)}
        for name, place in zip(names, known.values(), strict=True)
    ]
    width = max(map(len, names))
    terminal.report({"presets": rows}, "\n".join(f"{row['name']:<{width}}  {row['says']}" for row in rows))


@config.command("path")
@click.argument("name")
@reports
def path(terminal: Terminal, name: str) -> None:
    """Print where the file of a preset lies, to be copied and changed, or given to another program.

    \b
    Examples:
      cp $(videogen config path video_128) mine.yaml
      accelerate launch --config_file $(videogen config path fsdp2) -m videogen train prior video_3b ...
    """
    from videogen.config import SCHEMAS
    from videogen.config.presets import LAUNCHERS, find_config

    place = find_config(name, [*SCHEMAS, LAUNCHERS])
    terminal.report({"file": str(place)}, str(place))


@config.command("show")
@click.argument("file")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@reports
def show(terminal: Terminal, file: str, overrides: tuple[str, ...]) -> None:
    """Print the resolved configuration FILE, or preset of that name, and where each value came from.

    \b
    Examples:
      videogen config show video_128
      videogen config show mine.yaml training.steps=1000
    """
    from videogen.config import as_json, as_yaml, resolve

    schema, resolved = resolve(file, overrides)
    terminal.report({"schema": schema, **as_json(resolved)}, as_yaml(schema, resolved).rstrip("\n"))
