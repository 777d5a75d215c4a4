"""Video files of a model's own tokens, with as many bits as its prior finds them surprising.

    frames -- tokenizer.encode --> codes -- probabilities, range coder --> chunks --> file or pipe
    frames <-- tokenizer.decode -- codes <-- the same probabilities, range coder -- chunks <-- file or pipe

range_coder.py    symbols and their probabilities to bytes and back
probabilities.py  how likely each code is: by a prior, by how often codes were seen, or all alike
container.py      the bytes of a file: a header, chunks of latent frames, each with a check, an end
compress.py       frames to a file
decompress.py     a file to frames
"""
