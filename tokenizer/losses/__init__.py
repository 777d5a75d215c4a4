"""The training losses of a tokenizer.

objective.py      the total loss of the tokenizer and of the discriminator, as sums of named terms
perceptual.py     a structure loss without a pretrained network
lpips.py          LPIPS, on VGG16 or AlexNet
adversarial.py    the adversarial losses, their schedule and LeCam
discriminator.py  the network that classifies patches as clip or reconstruction
"""
