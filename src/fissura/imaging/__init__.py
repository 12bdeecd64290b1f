"""Read and write images: photos of any kind, rasters by windows, overlays."""
