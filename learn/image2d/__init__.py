"""A 2D neural image: a network that learns the colour of each position of one photo."""
