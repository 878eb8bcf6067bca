"""A trained scene in the browser."""
