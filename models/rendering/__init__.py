"""From rays to colours: samples, compositing, the renderers, and whole images."""
