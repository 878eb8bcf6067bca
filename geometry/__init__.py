"""Cameras, rays, poses and the space around them: tensors and maths, no files."""
