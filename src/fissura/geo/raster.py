"""Scale and place of a georeferenced raster.

Distances are measured on the ellipsoid at the raster's centre, whatever its CRS: degrees, feet and the stretch of
Web Mercator need no cases of their own.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import GeometryError
from fissura.geo.scale import GroundScale, Points
from fissura.imaging.write import Placement

SIGMA_RASTER = 0.01
"""Relative error of lengths in an orthophoto: its scale comes from positions good to centimetres or decimetres."""

_STEP_PX = 8.0


def read_placement(path: Path) -> tuple[Placement, tuple[int, int]] | None:
    """Place on the map and size (rows, columns) of a file, or None for a plain picture or no raster at all.

    A CRS alone places nothing: its pixels would be metres, or degrees, from the map's origin.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as dataset:
                gcps, gcps_crs = dataset.gcps
                placement = Placement(dataset.crs, dataset.transform, tuple(gcps), gcps_crs)
                size_hw = int(dataset.height), int(dataset.width)
        except RasterioError:
            return None
    if placement.transform.is_identity and not placement.gcps:
        return None
    return placement, size_hw


def estimate_raster_scale(placement: Placement, size_hw: tuple[int, int]) -> GroundScale:
    """Scale of a georeferenced raster at its centre, with x along its rows.

    Args:
        placement: Place on the map.
        size_hw: Rows and columns.
    Raises:
        GeometryError: The CRS is missing, so the unit is unknown, or the transform is degenerate.
    """
    raster = RasterMap(placement)
    centre = np.array([[(size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2]])
    jacobian = raster.metres_per_px(centre) * 1000.0
    right, down = jacobian[:, 0], jacobian[:, 1]
    x_mm = float(np.hypot(*right))
    if not (math.isfinite(x_mm) and x_mm > 0):
        raise GeometryError("the raster's transform gives its pixels no size; check its georeference, or give --gsd-mm")
    unit = right / x_mm
    # The part of "down" along the rows, and across them. Rasters may be turned, and in degrees they are sheared.
    along, across = float(down @ unit), abs(float(unit[0] * down[1] - unit[1] * down[0]))
    matrix = np.array([[x_mm, along, 0.0], [0.0, across, 0.0], [0.0, 0.0, 1.0]])
    notes = [f"pixels of {x_mm:.2f} x {math.hypot(along, across):.2f} mm from the GeoTIFF ({raster.crs_name})"]
    if abs(along) < 1e-6 * across:
        matrix[0, 1] = 0.0
    return GroundScale(matrix, sigma=SIGMA_RASTER, source="geotiff", notes=tuple(notes))


class RasterMap:
    """Pixels of a georeferenced raster to longitude and latitude.

    Args:
        placement: Place on the map; control points count where there is no transform.
    Raises:
        GeometryError: There is no CRS, or one that has no relation to the globe.
    """

    def __init__(self, placement: Placement) -> None:
        crs, self._transform = placement.crs, placement.transform
        if placement.by_gcps:
            from rasterio.transform import from_gcps

            crs, self._transform = placement.gcps_crs, from_gcps(list(placement.gcps))
        if crs is None:
            raise GeometryError(
                "the raster has a transform but no CRS, so the unit of its pixels is unknown; "
                "assign one (gdal_edit.py -a_srs EPSG:...), or give --gsd-mm"
            )
        try:
            source = pyproj.CRS.from_user_input(crs)
            self._to_lonlat = pyproj.Transformer.from_crs(source, "EPSG:4326", always_xy=True)
        except pyproj.exceptions.ProjError as error:
            raise GeometryError(
                f"the raster's CRS has no known relation to the globe ({error}); "
                "assign another (gdal_edit.py -a_srs EPSG:...), or give --gsd-mm"
            ) from error
        self.crs_name = source.name

    def to_lonlat(self, points_rc: Points) -> Points:
        """Pixels (row, column), centres at integers, shape (N, 2), to WGS84 (longitude, latitude) in degrees."""
        # The transform counts from the corner of the first pixel, we from its centre.
        x, y = apply_affine(self._transform, points_rc[:, 1] + 0.5, points_rc[:, 0] + 0.5)
        longitude, latitude = self._to_lonlat.transform(x, y)
        return np.column_stack([longitude, latitude]).astype(np.float64).reshape(-1, 2)

    def metres_per_px(self, point_rc: Points) -> npt.NDArray[np.float64]:
        """Local derivative at one pixel, shape (1, 2): (east, north) metres by pixel (x, y), shape (2, 2)."""
        geod = pyproj.Geod(ellps="WGS84")
        columns = []
        for step_rc in ((0.0, _STEP_PX), (_STEP_PX, 0.0)):
            ends = self.to_lonlat(np.vstack([point_rc - step_rc, point_rc + step_rc]))
            if not np.isfinite(ends).all():
                raise GeometryError("the raster's centre is not on the globe; check its georeference, or give --gsd-mm")
            azimuth, _, metres = geod.inv(*ends[0], *ends[1])
            angle = math.radians(azimuth)
            columns.append(np.array([math.sin(angle), math.cos(angle)]) * metres / (2 * _STEP_PX))
        return np.column_stack(columns)


def apply_affine(transform: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """An affine transform on arrays."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f
