"""The training losses of a tokenizer.

objective.py      the total loss of the tokenizer and of the discriminator, as sums of named terms
perceptual.py     LPIPS, and a structure loss without a pretrained network
adversarial.py    the adversarial losses, their schedule and LeCam
discriminator.py  the network that classifies patches as clip or reconstruction
"""
