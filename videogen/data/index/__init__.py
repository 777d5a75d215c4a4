"""The index of a training set: every file read once, what it holds, or why it is refused."""
