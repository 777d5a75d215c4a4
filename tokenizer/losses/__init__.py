"""The training losses of a tokenizer.

objective.py      the total of the tokenizer and that of the discriminator, put together from named terms
perceptual.py     LPIPS, and a structure loss without a pretrained network
adversarial.py    the adversarial losses, their schedule and LeCam
discriminator.py  the network that tells clips from reconstructions
"""
