"""The kinds of path: around a subject, before it, along a walk."""
