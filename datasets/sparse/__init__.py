"""COLMAP's sparse models: cameras, points, and which camera observed which point."""
