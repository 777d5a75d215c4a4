"""The options --engine and --address of commands that do many things at once."""

import click

from videogen.cli.options import Command, Decorator, add_options

ENGINE = click.option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    show_default=True,
    help="Where the processes run: on this machine, or on the nodes of a Ray cluster; see docs/cluster.md.",
)
ADDRESS = click.option(
    "--address",
    metavar="ADDRESS",
    help="The Ray cluster: HOST:6379, ray://HOST:10001 or auto [default: $RAY_ADDRESS, or a new one of this machine].",
)


def workers_option(usual: str) -> Decorator:
    return click.option(
        "--workers",
        type=click.IntRange(1),
        help=f"Processes [default: {usual}; with --engine ray as many as the cluster has room for].",
    )


def engine_options(command: Command) -> Command:
    return add_options(command, (ENGINE, ADDRESS))
