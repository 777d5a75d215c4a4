"""Options that several commands share; those of sampling come from the table of settings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sampling.config import SETTINGS, SamplerConfig
from sampling.settings import SettingSpec
from videogen.cli.param_types import ANY_PATH, ScaleType, SettingType

Command = Callable[..., None]
Decorator = Callable[[Command], Command]

DTYPES = ("float32", "bfloat16", "float16")
REQUIRED_MODEL = click.option(
    "--model", type=ANY_PATH, required=True, help="A model folder, a run folder, or playroom, the bundled model."
)
MODEL = click.option(
    "--model",
    type=ANY_PATH,
    envvar="VIDEOGEN_MODEL",
    show_envvar=True,
    help="A model folder or a run folder [default: playroom, the bundled model].",
)
INDEX = click.option("--index", type=ANY_PATH, help="The index file, if it is not beside the data.")
TOKENS = click.option(
    "--tokens",
    type=click.IntRange(1),
    help="Use only so many first tokens of each latent frame, of a model trained for it [default: all].",
)
DTYPE = click.option("--dtype", type=click.Choice(DTYPES), help="Data type of the prior [default: float32].")
DEVICE = click.option(
    "--device", default="cpu", show_default=True, help="Device to compute on, such as cuda or cuda:1."
)
OFFLOAD = click.option(
    "--offload", is_flag=True, help="Keep weights off the device while they are not used: less memory, same videos."
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1),
    help="CPU threads [default: one per core; generation uses the idle cores].",
)
OVERWRITE_REPORT = click.option("--overwrite", is_flag=True, help="Replace an existing report.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace existing output.")
FORMAT: tuple[Decorator, ...] = (
    click.option("--fps", type=float, help="Frame rate of the file; the speed stays the same [default: the model's]."),
    click.option("--scale", type=ScaleType(), help="Enlarge the frames by a factor, such as 8, or to HEIGHTxWIDTH."),
    click.option(
        "--resampling",
        type=click.Choice(("lanczos", "nearest")),
        default="lanczos",
        show_default=True,
        help="Filter of --scale: smooth, or exact pixels.",
    ),
    click.option("--no-metadata", is_flag=True, help="Do not write prompt, seed, model and settings into the file."),
)


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


def add_options(command: Command, options: Sequence[Decorator]) -> Command:
    """The command with these options, in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def sampling_options(command: Command) -> Command:
    """A flag for each setting of the table; without it the model's generation_config.json holds."""
    return add_options(command, SAMPLING)


def format_options(command: Command) -> Command:
    """Flags for the frame rate, frame size and metadata of a video file."""
    return add_options(command, FORMAT)


def sampling_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given on the command line."""
    return {name: options[name] for name in SETTINGS if options[name] is not None}


def model_or_bundled(model: Path | None) -> Path:
    """The model to generate with; CheckpointError if VIDEOGEN_MODEL names none."""
    from videogen.errors import CheckpointError
    from videogen.models import BUNDLED, resolve_model

    if model is None:
        return BUNDLED
    from_environment = click.get_current_context().get_parameter_source("model") is ParameterSource.ENVIRONMENT
    if from_environment and not resolve_model(model).exists() and str(model) != BUNDLED.name:
        raise CheckpointError(f"VIDEOGEN_MODEL is {model}: no such folder; set it to a model folder, or unset it")
    return model
