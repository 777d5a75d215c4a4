"""`videogen export`: a trained model as a folder to share."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from videogen.cli.options import DTYPES
from videogen.cli.param_types import ANY_PATH, EXISTING_FILE, OUTPUT_FOLDER
from videogen.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from sampling.config import SamplerConfig


@click.command("export")
@click.argument("model", metavar="MODEL", type=ANY_PATH)
@click.argument("out", metavar="OUT", type=OUTPUT_FOLDER)
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--decoder", type=ANY_PATH, help="A tokenizer with the same encoder; its decoder replaces the model's.")
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="float32",
    show_default=True,
    help="Data type of the stored weights of the prior.",
)
@click.option(
    "--prompt-vocabulary",
    type=EXISTING_FILE,
    help="The words that the model knows, and how others are read: a file of schema prompt_vocabulary.",
)
@click.option("--card", type=EXISTING_FILE, help="The model card [default: that of MODEL].")
@click.option("--image-tokenizer", is_flag=True, help="Only the image tokenizer inside a factorized tokenizer.")
@click.option("--overwrite", is_flag=True, help="Replace an existing model.")
@terminal_options
def export(
    terminal: Terminal,
    model: Path,
    out: Path,
    settings: tuple[str, ...],
    decoder: Path | None,
    dtype: str,
    prompt_vocabulary: Path | None,
    card: Path | None,
    image_tokenizer: bool,
    overwrite: bool,
) -> None:
    """Write MODEL, a model folder or a run folder, into the folder OUT, to share it.

    KEY=VALUE changes the sampling settings in its generation_config.json. 16-bit weights take half the space and are
    32-bit again when they are loaded, unless --dtype of the command that loads them says otherwise.

    \b
    Examples:
      videogen export runs/prior toys --dtype float16
      videogen export runs/prior toys guidance_scale=4 first_frames_step_multiplier=2
      videogen export runs/prior toys --decoder runs/sharper
      videogen export runs/factorized images --image-tokenizer
    """
    from dataclasses import replace

    from videogen.config import resolve
    from videogen.errors import UsageError
    from videogen.models import load_prior, load_tokenizer, sampler_of, save_image_tokenizer, save_model
    from videogen.pipeline import as_dtype

    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"{out}: already exists; --overwrite replaces it")
    if image_tokenizer:
        if settings or decoder or prompt_vocabulary or card or dtype != "float32":
            raise UsageError("--image-tokenizer writes a tokenizer as it is: give MODEL and OUT alone")
        written = save_image_tokenizer(load_tokenizer(model), out)
        report_written(terminal, out, written.fingerprint, {})
        return
    opened = load_prior(model)
    sampler = changed_sampler(sampler_of(opened), settings)
    opened = opened if decoder is None else opened.with_decoder(load_tokenizer(decoder))
    if prompt_vocabulary is not None:
        opened = replace(opened, prompt_vocabulary=resolve(prompt_vocabulary, expected="prompt_vocabulary")[1].value)
    text = None if card is None else read_card(card)
    written = save_model(opened, sampler, out, as_dtype(dtype), text)
    report_written(terminal, out, written.fingerprint, asdict(sampler))


def report_written(terminal: Terminal, out: Path, fingerprint: str, settings: dict[str, Any]) -> None:
    size = sum(place.stat().st_size for place in out.rglob("*") if place.is_file())
    report = {"folder": str(out), "bytes": size, "fingerprint": fingerprint, **settings}
    terminal.report(report, f"{out}: {size / 1e6:.1f} MB, fingerprint {fingerprint[:12]}")


def read_card(card: Path) -> str:
    from videogen.errors import UsageError

    try:
        return card.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"--card {card}: not UTF-8 text") from None


def changed_sampler(sampler: "SamplerConfig", settings: tuple[str, ...]) -> "SamplerConfig":
    """The sampler with these `key=value` settings; UsageError for a bad one."""
    from sampling.config import SamplerConfig
    from videogen.checkpoint import as_json
    from videogen.config.bind import bind
    from videogen.config.strict_yaml import Mapping, parse

    known = cast(Mapping, parse(as_json(asdict(sampler)), "the model's settings", line_numbers=False))
    return bind(SamplerConfig, known, settings).value
