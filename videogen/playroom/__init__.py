"""A synthetic captioned world, and an oracle that reads it back from pixels alone.

scenes = sample_scenes(32, seed=1)              # the things in them, in words and numbers
clips = render(scenes, frames=17, size=64)      # uint8 [32, 17, 64, 64, 3]
text = caption(scenes[0], seed=1)               # "a small red ring drifts left slowly over a dark blue background"
seen = look(clips)                              # what the pixels show; parse(text) is what the caption asks for

Import from the modules: scene, grammar, render, oracle, score, write. Scenes and captions need no torch.
"""
