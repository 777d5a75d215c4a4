"""`videogen info`: descriptions of tokenizers, priors, token sets and video files."""
