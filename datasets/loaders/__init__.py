"""Batches of rays, rays towards known points, and whole views, cast as they are asked for."""
