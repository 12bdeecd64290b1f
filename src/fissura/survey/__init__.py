"""A run over many frames: where each looks, what of the ground is new, one merged result."""
