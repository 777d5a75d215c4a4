"""The distribution of the next latent frame, given the past and the text; a stranger to the tokenizer."""
