"""Words of random letters: no reader and no tokenizer can guess a letter from its neighbors.

Every fourth word is for tests alone, and no training clip shows one.
"""

import random

LETTERS = "ABCDEFGHKLMNPRSTUVWXYZ"  # those that no other letter or digit is mistaken for: without I, J, O and Q
LENGTH = 4
HELD_OUT = 4


def is_held_out(word: str) -> bool:
    return sum(map(LETTERS.index, word)) % HELD_OUT == 0


def random_word(chance: random.Random, held_out: bool) -> str:
    while True:
        word = "".join(chance.choice(LETTERS) for _ in range(LENGTH))
        if is_held_out(word) == held_out:
            return word
