"""A trained voxel field as one web page, which renders it with WebGL2."""
