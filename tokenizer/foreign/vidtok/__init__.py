"""VidTok's causal video tokenizers with finite scalar quantization.

config.py           its settings
layers.py           convolutions over frames and time, residual blocks, resampling
encoder_decoder.py  encoder and decoder, built from the settings
tokenizer.py        VidTokTokenizer
weights.py          published tensors: what they tell of the settings, and their names here
"""
