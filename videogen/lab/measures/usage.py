"""How many codes are used, and how evenly.

`code_use` and `perplexity` are of whole tokens where those can be counted; the figures of codebooks are means over the
codebooks of a token, which tell a dead codebook from a table of tokens too large for the clips. Continuous tokens have
no such figures.
"""

from tokenizer.quantize import Usage
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext


def measure(context: MeasureContext) -> Figures:
    books = context.model.spec.codebooks
    if not books:
        return {}
    tokens = Usage.none(books).plus(context.codes)
    each = [Usage.none((size,)).plus(context.codes[..., place : place + 1]) for place, size in enumerate(books)]
    return {
        **tokens.figures(),
        "codebook_use": sum(book.share for book in each) / len(each),
        "codebook_perplexity": sum(book.perplexity for book in each) / len(each),
        "codebook_evenness": sum(book.perplexity / book.entries for book in each) / len(each),
    }
