"""From photos or a video to a scene: reading, checking, solving poses, writing the layout."""
