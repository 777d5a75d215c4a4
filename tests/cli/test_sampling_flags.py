"""Every command that samples has a flag for each setting of the table."""

import click
import pytest

from sampling.config import SETTINGS
from videogen.cli import videogen_command

COMMANDS = (("generate",), ("continue",), ("stream",), ("bench",), ("evaluate", "generation"))


def options_of(path):
    command = videogen_command
    for name in path:
        command = command.commands[name]
    return {param.name: param for param in command.params if isinstance(param, click.Option)}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_flags_are_the_table(path):
    options = options_of(path)
    for name, spec in SETTINGS.items():
        option = options[name]
        assert option.opts == [f"--{name.replace('_', '-')}"]
        assert option.help == spec.help
        if spec.choices:
            completions = option.type.shell_complete(click.Context(click.Command("x")), option, "")
            assert [each.value for each in completions] == list(spec.choices)
