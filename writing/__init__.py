"""Files that the commands write: images, videos, depth."""
