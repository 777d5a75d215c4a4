"""Tokenizers: networks around a quantizer.

latent.py           what all share: encode and decode, chunk by chunk or a whole clip at once
coding.py           latents to codes, group by group
layouts/            how the features of a latent frame become groups of tokens, and features again
cnn.py              CNNTokenizer, of convolutions; config.py, encoder_decoder.py: its settings, encoder and decoder
transformer/         TransformerTokenizer, of attention within windows and over time
factorized.py       FactorizedTokenizer, a network for each frame, then one along time; factorized_config.py
pictures.py         an encoder of single pictures, for layouts with a group of their own for them
patchify.py         pixels to patches and back without loss, plain or as Haar wavelets
blocks.py           norm, residual block and attention within a frame
convolution.py      convolutions over frames and over time
matmul_conv.py      a convolution of few pixels as one matrix product
"""
