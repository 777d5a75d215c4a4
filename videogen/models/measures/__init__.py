"""Public networks that measure videos, as folders that `videogen convert` makes.

    measure.json        the kind and the variant
    model.safetensors   the weights under their published names
    README.md  MANIFEST.json

base.py       what a kind of measure is
registry.py   the kinds
convert.py    public weights -> folder
folder.py     folder -> weights
lpips.py      LPIPS (the network is in tokenizer/losses/lpips.py)
i3d.py        I3D, for FVD
transnet.py   the convolutions of TransNet V2
clip.py       CLIP, read by `transformers`
"""
