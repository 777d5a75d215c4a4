"""`videogen export`: a trained model as the folder that others are given."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from videogen.cli.kinds import OUT_FOLDER
from videogen.cli.models import PLACE
from videogen.cli.terminal import Terminal, reports

if TYPE_CHECKING:
    from sampling.config import SamplerConfig

DTYPES = ("float32", "float16", "bfloat16")


@click.command("export")
@click.argument("model", metavar="MODEL", type=PLACE)
@click.argument("out", metavar="OUT", type=OUT_FOLDER)
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--decoder", type=PLACE, help="A tokenizer of the same ids, whose decoder paints the pixels from now on.")
@click.option(
    "--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="How the prior's weights are kept."
)
@click.option(
    "--prompt-vocabulary",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The words that the model knows, and how others are read: a file of schema prompt_vocabulary.",
)
@click.option("--card", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A model card of your own.")
@click.option("--overwrite", is_flag=True, help="Replace the model that is there already.")
@reports
def export(
    terminal: Terminal,
    model: Path,
    out: Path,
    settings: tuple[str, ...],
    decoder: Path | None,
    dtype: str,
    prompt_vocabulary: Path | None,
    card: Path | None,
    overwrite: bool,
) -> None:
    """Write MODEL, a model folder or the folder of a run, into the folder OUT, as others are to get it.

    KEY=VALUE changes how it makes videos where nobody says otherwise: the settings of its generation_config.json.
    Weights of 16 bits take half the room and are 32 bits wide again when they are read.

    \b
    Examples:
      videogen export runs/prior toys --dtype float16
      videogen export runs/prior toys guidance_scale=4 first_frames_step_multiplier=2
      videogen export runs/prior toys --decoder runs/sharper
    """
    from dataclasses import replace

    from videogen.config import resolve
    from videogen.errors import UsageError
    from videogen.models import load_prior, load_tokenizer, sampler_of, save_model
    from videogen.pipeline import dtype_of

    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"{out}: is there already; --overwrite replaces it")
    whole = load_prior(model)
    sampler = settled(sampler_of(whole), settings)
    whole = whole if decoder is None else whole.with_decoder(load_tokenizer(decoder))
    if prompt_vocabulary is not None:
        whole = replace(whole, prompt_vocabulary=resolve(prompt_vocabulary, expected="prompt_vocabulary")[1].value)
    words = None if card is None else text_in(card)
    written = save_model(whole, sampler, out, dtype_of(dtype), words)
    size = sum(place.stat().st_size for place in out.rglob("*") if place.is_file())
    figures = {"folder": str(out), "bytes": size, "fingerprint": written.fingerprint, **asdict(sampler)}
    terminal.report(figures, f"{out}: {size / 1e6:.1f} MB, fingerprint {figures['fingerprint'][:12]}")


def text_in(card: Path) -> str:
    from videogen.errors import UsageError

    try:
        return card.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"--card {card}: not a text in UTF-8") from None


def settled(sampler: "SamplerConfig", settings: tuple[str, ...]) -> "SamplerConfig":
    """The sampler's settings with `key=value` on top; UsageError for one that makes no sense."""
    from sampling.config import SamplerConfig
    from videogen.checkpoint import as_json
    from videogen.config.bind import bind
    from videogen.config.strict_yaml import Mapping, parse

    known = cast(Mapping, parse(as_json(asdict(sampler)), "the model's settings", line_numbers=False))
    return bind(SamplerConfig, known, settings).value
