"""A surface from a trained scene: depths of many views, fused."""
