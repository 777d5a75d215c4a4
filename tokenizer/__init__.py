"""Video tokenizers: frames to codes and back, chunk by chunk.

networks/       the convolutional tokenizer
foreign/        public tokenizers of others
quantize/       latents to codes and back: FSQ, LFQ, BSQ
losses/         the training losses
streaming.py    state that goes in and comes out of every layer with a memory
precision.py    float32 where it is needed
laws.py         what every tokenizer must hold
diagnostics.py  warnings for a training run that goes wrong
"""
