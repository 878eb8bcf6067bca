"""Cells over a region: lattices, traversal by rays, occupancy, interpolation."""
