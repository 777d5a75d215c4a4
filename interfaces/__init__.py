"""The interfaces between the packages.

tokens.py     TokenSpec: the tokens of one latent frame
tokenizer.py  VideoTokenizer: frames to codes and back
text.py       CaptionInput: the captions that a network reads
prior.py      FramePrior and Proposal: the distribution of the next latent frame
foreign.py    ForeignTokenizer, ForeignPrior: public weights of others
verdict.py    Verdict: the result of checking a law
"""
