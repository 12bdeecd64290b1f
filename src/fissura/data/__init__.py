"""Image and mask pairs on disk."""

from fissura.data.pairs import Pair, find_pairs, find_sets, read_mask

__all__ = ["Pair", "find_pairs", "find_sets", "read_mask"]
