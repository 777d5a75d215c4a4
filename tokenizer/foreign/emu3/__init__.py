"""The Emu3 vision tokenizer (Wang et al., "Emu3: Next-Token Prediction is All You Need", 2024).

config.py           its settings
norms.py            stored statistics along time, groups of channels within a frame, scale and shift by a guide
layers.py           resampling along time, and the decoder's features with their guide
encoder_decoder.py  encoder and decoder, built from the settings
tokenizer.py        Emu3Tokenizer
weights.py          published tensors: what they tell of the settings, and their names here
"""
