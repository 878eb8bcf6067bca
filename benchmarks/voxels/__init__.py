"""Inside the voxel field."""
