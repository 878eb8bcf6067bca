"""Camera paths: kinds, what the photos support, free space, files."""
