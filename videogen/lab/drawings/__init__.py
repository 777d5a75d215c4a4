"""Drawings whose details are known: words, small shapes, thin lines and fast dots, light on a plain dark ground.

stamps.py    the picture of a thing: how much ink each pixel has
drawing.py   things that move over the ground, as frames
words.py     words to train on, and others to test with
exam.py      the drawings that a tokenizer is tested with
write.py     a folder of clips to train on
"""
