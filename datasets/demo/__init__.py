"""The demo scene: a still life of our own, ray-traced on first use."""
