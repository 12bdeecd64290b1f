"""From pixels to the ground: scale, camera, position."""
