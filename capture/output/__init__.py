"""The scene's folder: undistorted photos, upright poses, the layouts that tools read."""
