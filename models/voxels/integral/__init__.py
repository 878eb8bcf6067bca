"""The volume rendering integral over a voxel grid: kernels, their twin, autograd, pictures."""
