"""The convolutional tokenizer.

cnn.py              CNNTokenizer: encode and decode, chunk by chunk or a whole clip at once
config.py           its settings
encoder_decoder.py  encoder and decoder, built from the settings
patchify.py         pixels to patches and back without loss, plain or as Haar wavelets
blocks.py           norm, residual block and attention within a frame
convolution.py      convolutions over frames and over time
matmul_conv.py      a convolution of few pixels as one matrix product
"""
