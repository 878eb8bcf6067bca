"""What leaves the project: pages, meshes and points of a trained scene."""
