"""The transformer tokenizer, in the way of ViT-VQGAN (Yu et al., 2022) and OmniTokenizer (Wang et al., 2024).

tokenizer.py         TransformerTokenizer
config.py            its settings
encoder_decoder.py   encoder and decoder, built from the settings
window_attention.py  attention within the windows of each frame
time_attention.py    causal attention of each position over its last frames; a gated MLP
rotary.py            rotary positions
"""
