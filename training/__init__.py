"""Training: the Trainer and its callbacks, optimizers, processes, checkpoints."""
