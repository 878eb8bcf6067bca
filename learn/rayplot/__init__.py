"""Cameras, rays and sample points, drawn so that a wrong convention is seen."""
