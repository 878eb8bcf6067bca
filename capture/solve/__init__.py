"""Poses: features and mapping with pycolmap, or printed tags."""
