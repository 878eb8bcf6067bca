"""Rendering views, measuring them, and the protocol: shared by training and eval.py."""
