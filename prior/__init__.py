"""The distribution of the next latent frame, given the past, the text and the controls; it knows no tokenizer.

Shapes are named by suffix: B batch, T latent frames, N tokens of one, K codes of a token, S all positions of a training
sequence, L the context, H heads, K heads of keys and values, D channels of a head, C channels of the model, V logits of
a code.

config.py                     what defines a prior
model.py                      the Llama over latent frames: read this first
embedding.py, heads/          tokens into the blocks and out of them
blocks.py, attention.py, rotary.py, linear.py   the parts of a block
visibility.py, memory.py      the attention pattern of training, and the KV cache of a stream
captions.py, captioning.py    captions after the latent frames: the tokens in training, and writing them from a past
streaming.py                  a block on a CPU without gradients, in fewer operations
likelihood.py                 the negative log-likelihood of clips
objective.py                  what is masked and corrupted in training
laws.py, caption_laws.py      checks that every prior passes, and every prior with captions
wrappers.py                   the base class of wrappers around a prior
llama.py                      initial weights from language models
pixelcnn/, lumos/             other priors: a small baseline, and a public model
kinds.py                      all of them by name
"""
