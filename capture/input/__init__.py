"""The input: which files, photos brought to one form, frames of a video."""
