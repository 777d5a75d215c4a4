"""The distribution of the next latent frame, given the past and the text; a stranger to the tokenizer.

Shapes are named by suffix: B batch, T latent frames, h w its grid, N = h * w tokens, S all positions of a training
sequence, L the context, H heads, K heads of keys and values, D channels of a head, C channels of the model, V codes.
"""
