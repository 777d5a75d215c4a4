"""What the packages promise each other: the shape of tokens, a tokenizer, a prior, and the verdict of a law.

tokens.py     TokenSpec: what one latent frame holds
tokenizer.py  VideoTokenizer: frames to codes and back
prior.py      FramePrior and Proposal: what the next latent frame might be
verdict.py    Verdict: whether a law held
"""
