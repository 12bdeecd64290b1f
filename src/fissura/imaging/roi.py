"""Regions of interest: a mask picture, or a GeoJSON polygon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fissura.errors import FissuraError, ImageError, SettingsError
from fissura.imaging.read import read_mask
from fissura.imaging.scene import Scene
from fissura.imaging.write import Placement
from fissura.types import BoolMask

_POLYGONS = ("Polygon", "MultiPolygon")


class Roi:
    """A region of interest, read once and fitted to each picture.

    GeoJSON coordinates are (column, row) in pixels for plain pictures, with 0, 0 at the outer corner of the first
    pixel. For rasters on a map they are in the coordinate system that the file names (``crs``, as QGIS writes it);
    without one, in longitude and latitude if all of them could be, else in the raster's own.

    Args:
        path: ``.geojson`` or ``.json``, or any readable picture, in which 0, of any depth, transparent and nodata are
            outside.
    Raises:
        SettingsError: The file holds no region.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mask: BoolMask | None = None
        self._polygons: list[dict[str, Any]] = []
        self._crs: str | None = None
        if not path.is_file():
            raise SettingsError(f"--roi {path} does not exist; give a mask picture or a GeoJSON file")
        if path.suffix.lower() in (".geojson", ".json"):
            self._read_geojson()
            return
        try:
            self._mask = read_mask(path)
        except ImageError as error:
            raise SettingsError(f"--roi {path} is neither a picture nor .geojson: {error}") from error

    @property
    def is_picture(self) -> bool:
        """It is a mask picture, not polygons."""
        return self._mask is not None

    def fit(self, scene: Scene) -> BoolMask:
        """The region in a scene, shape (H, W).

        Raises:
            ImageError: A mask of another size, or a region that lies outside the picture.
        """
        height, width = scene.height, scene.width
        if self._mask is not None:
            if self._mask.shape != (height, width):
                mask_height, mask_width = self._mask.shape
                raise ImageError(
                    f"the region of interest {self.path.name} is {mask_width}x{mask_height} and the image "
                    f"{width}x{height}; draw it on this image, or use a GeoJSON polygon"
                )
            region = self._mask
        else:
            region = self._rasterize(height, width, scene.placement)
        if not region.any():
            raise ImageError(f"the region of interest {self.path.name} does not touch the image; check its coordinates")
        return region

    def _read_geojson(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8-sig"))
            self._polygons = _find_polygons(content)
            named = content.get("crs")
            self._crs = named["properties"]["name"] if named else None
            for polygon in self._polygons:
                list(_iter_points(polygon["coordinates"]))
        except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
            raise SettingsError(f"--roi {self.path} is no valid GeoJSON ({error})") from error
        if not self._polygons:
            raise SettingsError(f"--roi {self.path} holds no polygon; needed is a Polygon or MultiPolygon")

    def _rasterize(self, height: int, width: int, placement: Placement | None) -> BoolMask:
        from rasterio.features import geometry_mask
        from rasterio.transform import Affine, from_gcps

        transform, shapes = Affine.identity(), self._polygons
        if placement is not None and (placement.crs is not None or not placement.transform.is_identity):
            transform, shapes = placement.transform, self._in_crs_of(placement.crs)
        elif placement is not None and placement.gcps:
            transform, shapes = from_gcps(list(placement.gcps)), self._in_crs_of(placement.gcps_crs)
        try:
            return np.asarray(geometry_mask(shapes, (height, width), transform, invert=True), np.bool_)
        except FissuraError:
            raise
        except Exception as error:
            raise ImageError(f"the region of interest {self.path.name} cannot be drawn: {error}") from error

    def _in_crs_of(self, crs: Any) -> list[dict[str, Any]]:
        from rasterio.errors import CRSError, RasterioError
        from rasterio.warp import transform_geom

        source = self._crs
        if source is None and crs is not None and crs.is_projected and self._could_be_degrees():
            source = "OGC:CRS84"
        if source is None or crs is None:
            return self._polygons
        try:
            return [transform_geom(source, crs, polygon) for polygon in self._polygons]
        except (CRSError, RasterioError, ValueError) as error:
            raise ImageError(f"{self.path.name} cannot be brought from {source} to {crs}: {error}") from error

    def _could_be_degrees(self) -> bool:
        points = [point for polygon in self._polygons for point in _iter_points(polygon["coordinates"])]
        return all(abs(x) <= 180 and abs(y) <= 90 for x, y in points)


def _find_polygons(item: Any) -> list[dict[str, Any]]:
    if item["type"] in _POLYGONS:
        return [{"type": item["type"], "coordinates": item["coordinates"]}]
    if item["type"] == "Feature":
        return _find_polygons(item["geometry"]) if item["geometry"] else []
    parts = {"FeatureCollection": "features", "GeometryCollection": "geometries"}.get(item["type"])
    return [polygon for part in item[parts] for polygon in _find_polygons(part)] if parts else []


def _iter_points(coordinates: Any) -> Any:
    """All points (x, y) of nested lists; ValueError where something else is in them."""
    if not isinstance(coordinates, list) or not coordinates:
        raise ValueError(f"coordinates are lists of numbers, not {str(coordinates)[:40]!r}")
    if not isinstance(coordinates[0], list):
        if len(coordinates) < 2 or not all(isinstance(value, (int, float)) for value in coordinates[:2]):
            raise ValueError(f"a point is two numbers, not {str(coordinates)[:40]}")
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _iter_points(part)
