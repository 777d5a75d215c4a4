"""`videogen config`: lists presets and prints resolved configurations."""

import click

from videogen.cli.terminal import Terminal, terminal_options


@click.group()
def config() -> None:
    """Inspect configuration files and the bundled presets."""


@config.command("list")
@terminal_options
def list_(terminal: Terminal) -> None:
    """List the presets; commands accept their names in place of a file."""
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
@terminal_options
def path(terminal: Terminal, name: str) -> None:
    """Print the path of a preset, to copy it or to pass it to another program.

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
@terminal_options
def show(terminal: Terminal, file: str, overrides: tuple[str, ...]) -> None:
    """Print the resolved configuration of FILE, or of the preset with that name, and the origin of each value.

    \b
    Examples:
      videogen config show video_128
      videogen config show mine.yaml training.steps=1000
    """
    from videogen.config import as_json, as_yaml, resolve

    schema, resolved = resolve(file, overrides)
    terminal.report({"schema": schema, **as_json(resolved)}, as_yaml(schema, resolved).rstrip("\n"))
