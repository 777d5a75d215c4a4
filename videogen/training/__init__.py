"""Training that can be stopped at any moment and leaves no trace of it: one machinery, whatever is trained.

    stage.py       what a stage (tokenizer, prior) has to offer, and nothing more that the loop could know
    trainer.py     the loop: TrainingConfig, Trainer
    players.py     a network with its optimizer and its average; wrapped for one process, several, or sharded
    state.py       all that a later step depends on, as tensors by name
    run_folder.py  where a run lives: lock, configuration, metrics, checkpoints, samples
    schedule.py    rates as pure functions of the step; randomness.py: so are the seeds

Importing this package imports none of them; they need torch.
"""
