"""The application: composes tokenizer, prior and sampling; the only package that touches disk, codecs and frameworks.

Importing it is cheap on purpose: nothing here imports torch.
"""

from videogen.threads import bound_spinning

bound_spinning()

__version__ = "0.1.0"
