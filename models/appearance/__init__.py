"""Each photo's own exposure and colour, and what to expect of a view without a photo."""
