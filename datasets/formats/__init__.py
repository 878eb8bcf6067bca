"""One loader a format: from a folder's files to a Scene."""
