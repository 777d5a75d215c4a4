"""`videogen evaluate`: tokenizers, codebooks, priors, codecs, captions, generated videos, and training runs."""

import click

from videogen.cli.evaluate.captions import captions
from videogen.cli.evaluate.codebook import codebook
from videogen.cli.evaluate.codec import codec
from videogen.cli.evaluate.generation import generation
from videogen.cli.evaluate.prior import prior
from videogen.cli.evaluate.runs import runs
from videogen.cli.evaluate.tokenizer import tokenizer


@click.group()
def evaluate() -> None:
    """Evaluate models and compare training runs."""


for command in (tokenizer, codebook, prior, codec, captions, generation, runs):
    evaluate.add_command(command)
