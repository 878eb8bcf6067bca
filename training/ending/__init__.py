"""What follows a training: its validation as a whole, and a look at its photos."""
