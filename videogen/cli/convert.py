"""`videogen convert`: model folders and token sets of version 1 become those of this version."""

from pathlib import Path

import click

from videogen.cli.param_types import ANY_PATH
from videogen.cli.terminal import Terminal, terminal_options

NEW = click.Path(path_type=Path)


@click.command("convert")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("new", metavar="NEW", type=NEW)
@click.option(
    "--model", type=ANY_PATH, help="The tokenizer that made the token set OLD [default: the bundled model's]."
)
@terminal_options
def convert(terminal: Terminal, old: Path, new: Path, model: Path | None) -> None:
    """Convert OLD, a model folder, a run folder's model or a token set of version 1, into the new folder NEW.

    Weights and shards are copied byte by byte; OLD stays as it is.

    \b
    Examples:
      videogen convert runs/prior prior_2
      videogen convert tokens tokens_2 --model prior_2
    """
    from videogen.errors import UsageError
    from videogen.models import BUNDLED, convert_model, load_tokenizer
    from videogen.tokens.convert import convert_tokens
    from videogen.tokens.description import NAME

    if (old / NAME).is_file():
        converted = convert_tokens(old, new, load_tokenizer(BUNDLED if model is None else model))
        terminal.report({"folder": str(new), "clips": len(converted)}, f"{new}: a token set of {len(converted)} clips")
        return
    if model is not None:
        raise UsageError(f"--model is for token sets; {old} holds no {NAME}")
    found = convert_model(old, new)
    terminal.report({"folder": str(new), "fingerprint": found.fingerprint}, f"{new}: fingerprint {found.fingerprint}")
