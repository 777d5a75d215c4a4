"""The forms of a training set: a folder of videos, a videofolder, a manifest, WebDataset shards."""
