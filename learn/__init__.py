"""The learner's track: a 2D neural image, ray plots, figures."""
