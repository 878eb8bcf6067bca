"""What a visitor can set: the view, the crop, the camera path."""
