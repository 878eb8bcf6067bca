"""Cameras that are refined while a field is trained."""
