"""Ours against the usual implementation of the same thing."""
