"""What goes on around a training step: optimizer, clock, progress, checkpoints."""
