"""HTML pages of results that need nothing but a browser and the file itself."""
