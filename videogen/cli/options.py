"""Options that several commands share; those of sampling come from the table of settings."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from sampling.config import SETTINGS, SamplerConfig
from sampling.settings import SettingSpec

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class SettingType(click.ParamType):  # type: ignore[type-arg]
    """A value of a sampling setting, checked against the table before any work begins."""

    def __init__(self, spec: SettingSpec):
        self.spec, self.name = spec, spec.kind.__name__

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if (new := SamplerConfig.RENAMED.get(f"{self.spec.name}={value}")) is not None:
            self.fail(f"{self.spec.name}={value} is now {new}", param, ctx)
        try:
            number = self.spec.kind(value)
        except ValueError:
            self.fail(f"{self.spec.name} = {value} must be {self.spec.expected}", param, ctx)
        try:
            self.spec.check(number)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return number

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = (word for word in self.spec.choices if word.startswith(incomplete))
        return [CompletionItem(word) for word in words]


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def setting_flag(spec: SettingSpec) -> Decorator:
    metavar = f"[{'|'.join(spec.choices)}]" if spec.choices else None
    return click.option(flag(spec.name), spec.name, type=SettingType(spec), metavar=metavar, help=spec.help)


def renamed_flags(renamed: Mapping[str, str]) -> list[Decorator]:
    """Hidden flags whose use is an error that names the new flag."""
    return [_renamed_flag(old, new) for old, new in renamed.items() if "=" not in old]


def _renamed_flag(old: str, new: str) -> Decorator:
    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            raise click.UsageError(f"{flag(old)} is now {flag(new)}", ctx)

    return click.option(flag(old), f"old_{old}", hidden=True, expose_value=False, callback=refuse)


SAMPLING = (*map(setting_flag, SETTINGS.values()), *renamed_flags(SamplerConfig.RENAMED))


def add_options(command: Callable[..., None], options: "tuple[Decorator, ...]") -> Callable[..., None]:
    """The command with these options, in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for each setting of the table; without it the model's generation_config.json holds."""
    return add_options(command, SAMPLING)


def sampling_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given on the command line."""
    return {name: options[name] for name in SETTINGS if options[name] is not None}
