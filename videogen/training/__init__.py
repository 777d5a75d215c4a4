"""Training of both stages, resumable at any moment to the bit.

    loop/       the training loop, for any stage: configuration, optimizers, averages, processes, checkpoints
    records/    a run folder: lock, configuration, metrics, checkpoints, samples
    estimate/   memory and time of a step, for dry runs
    tokenizer/  stage one: the tokenizer and its discriminator
    prior/      stage two: the prior

Importing this package imports none of them; they need torch.
"""
