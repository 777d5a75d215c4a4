"""The training loop, for any stage.

stage.py             what the loop asks of a stage: TrainedModule, LossOutput, Distributed, Stage
trainer.py           the loop itself; train.py prepares it in a run folder
config.py            TrainingConfig, OptimizerConfig
module_state.py      a network with its optimizer and moving average; muon.py
checkpoint_state.py  the tensors of a checkpoint
metrics.py           sums of metrics, and the state of a run that is not a tensor
monitor.py           the best model, overfitting, alarms
schedule.py          learning rates, intervals and seeds as functions of the step
distributed.py       one process or many
"""
