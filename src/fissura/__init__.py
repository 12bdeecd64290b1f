"""fissura finds cracks at pixel level in photos, drone imagery and orthophotos."""

__version__ = "0.1.0"
