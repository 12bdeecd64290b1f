"""Training: config, crops, losses, the loop. Needs ``fissura[train]`` (torch, lightning)."""
