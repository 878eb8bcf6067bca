"""Fields, sampling and rendering."""
