"""Optimizers, their options, and Adam for sparse gradients."""
