import torch

from tokenizer.quantize.nearest import nearest_codes


def test_no_vectors_have_no_codes() -> None:
    """A stream that ends with a whole latent frame encodes none at its end."""
    assert nearest_codes(torch.zeros(2, 0, 3), torch.randn(7, 3)).shape == (2, 0)
