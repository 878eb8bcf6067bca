"""The sparse voxel field: a table of values at the corners of occupied cells."""
