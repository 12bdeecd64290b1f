"""Where photos were taken by an OpenDroneMap project: better places and views than the photos' own.

ODM's results have them in ``odm_report/shots.geojson``: for each photo the position, the translation in the project's
CRS, the rotation from the world (east, north, up) to the camera (right, down, forward) as an axis times an angle, and
the focal length as a part of the longer side. Its input ``geo.txt`` has positions, and sometimes angles and accuracies.

Formats after the documentation of OpenDroneMap ("Image Geolocation Files") and of OpenSfM ("Reconstruction format").
Angles are given as `fissura.geo.view` has them: yaw clockwise from true north, pitch -90 straight down.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from fissura.errors import SettingsError
from fissura.geo.crs import choose_crs, read_crs, to_crs, to_lonlat

Matrix = npt.NDArray[np.float64]

_SHOTS, _GEO, _CAMERAS = "shots.geojson", "geo.txt", "cameras.json"
_CRS_FILES = ("coords.txt", "odm_georeferencing_model_geo.txt", "proj.txt")
_PLACES = ("", "odm_report", "odm_georeferencing", "all", "assets")
_GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class AlignedPhoto:
    """A photo's pose by a photogrammetric project.

    Attributes:
        name: File name of the photo, without folders.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        altitude_m: Above the project's height datum, mostly the ellipsoid or the sea; not above the ground. None if
            not stated.
        yaw_deg: Clockwise from true north, 0 to 360; None if no view is stated.
        pitch_deg: -90 is straight down; None likewise.
        roll_deg: About the view direction; None likewise.
        focal_ratio: Focal length as a part of the photo's longer side; None if not stated.
        size_hw: Rows and columns of the photo when it was aligned; None if not stated.
        horizontal_sigma_m: Standard error of the place; None if not stated.
        vertical_sigma_m: Of the altitude; None if not stated.
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None
    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    focal_ratio: float | None = None
    size_hw: tuple[int, int] | None = None
    horizontal_sigma_m: float | None = None
    vertical_sigma_m: float | None = None

    @property
    def focal_px(self) -> float | None:
        """Focal length in pixels of the photo as it was aligned; None if not stated."""
        return None if self.size_hw is None else self.focal_px_of(self.size_hw)

    def focal_px_of(self, size_hw: tuple[int, int]) -> float | None:
        """Focal length in pixels of the photo at some size; None if not stated."""
        return None if self.focal_ratio is None else self.focal_ratio * max(size_hw)


def read_alignment(path: Path) -> dict[str, AlignedPhoto]:
    """Read the poses of a project.

    Args:
        path: Folder of an OpenDroneMap project or of its unpacked results, ``shots.geojson``, or ``geo.txt``.
    Returns:
        Pose of each photo by its file name. Accuracies come from ``geo.txt`` where both files are there.
    Raises:
        SettingsError: There is no such file, or it is damaged.
    """
    if not path.exists():
        raise SettingsError(f"the alignment {path} does not exist; give a folder of OpenDroneMap, or {_SHOTS}")
    shots, geo = (path, None) if path.suffix.lower() in (".geojson", ".json") else (None, path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        shots, geo = _find(folder, (_SHOTS,)), _find(folder, (_GEO,))
        if shots is None and geo is None:
            raise SettingsError(
                f"{path} has neither {_SHOTS} (OpenDroneMap writes it into odm_report) nor {_GEO}; give the folder of "
                "a finished project"
            )
    surveyed = {} if geo is None else _read_geo(geo)
    if shots is None:
        return surveyed
    root = folder if path.is_dir() else _project_of(path)
    photos = _read_shots(shots, _read_project_crs(root), _read_focal(root))
    return {name: _with_accuracy(photo, surveyed.get(name)) for name, photo in photos.items()}


def describe_missing(names: Iterable[str], alignment: Mapping[str, AlignedPhoto]) -> str | None:
    """Which photos a project does not know, for people; None if it knows all.

    Args:
        names: File names or paths of photos.
        alignment: From `read_alignment`.
    """
    missing = sorted({Path(name).name for name in names} - set(alignment))
    if not missing:
        return None
    shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return f"{len(missing)} photos are not in the alignment and keep their own position: {shown}"


def view_angles(camera_to_world: Matrix) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a camera.

    Args:
        camera_to_world: Shape (3, 3); its columns are the directions forward, right and down of the picture as
            (north, east, down).
    Returns:
        Yaw 0 to 360, pitch -90 to 90, roll -180 to 180, in degrees. Straight down and up, roll is 0 and yaw is where
        the picture's upper (lower) edge points.

    >>> view_angles(np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]))
    (0.0, -90.0, 0.0)
    """
    m = camera_to_world
    pitch = math.asin(min(max(-float(m[2, 0]), -1.0), 1.0))
    if abs(m[2, 0]) > 1 - 1e-9:
        # Forward has no direction along the ground: the picture's right has.
        yaw, roll = math.atan2(-float(m[0, 1]), float(m[1, 1])), 0.0
    else:
        yaw, roll = math.atan2(float(m[1, 0]), float(m[0, 0])), math.atan2(float(m[2, 1]), float(m[2, 2]))
    return math.degrees(yaw) % 360.0, math.degrees(pitch), math.degrees(roll) + 0.0


def _read_shots(path: Path, crs: pyproj.CRS | None, focal_ratio: float | None) -> dict[str, AlignedPhoto]:
    """Poses from ``shots.geojson``."""
    content = _read_json(path)
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or not features:
        raise SettingsError(
            f"{path} holds no photos; needed is OpenDroneMap's {_SHOTS} (in odm_report), a FeatureCollection with a "
            "point, a rotation and a translation for each photo"
        )
    named = content.get("crs")
    if crs is None and isinstance(named, dict):
        crs = read_crs(str(named.get("properties", {}).get("name", "")))
    photos: dict[str, AlignedPhoto] = {}
    for number, feature in enumerate(features, start=1):
        try:
            photo = _read_shot(feature, crs, focal_ratio)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise SettingsError(
                f"photo {number} of {path} has no usable pose ({type(error).__name__}: {error}); let OpenDroneMap "
                "write the file again"
            ) from error
        photos.setdefault(photo.name, photo)
    return photos


def _read_shot(feature: Mapping[str, Any], crs: pyproj.CRS | None, focal_ratio: float | None) -> AlignedPhoto:
    properties, point = feature["properties"], [float(v) for v in feature["geometry"]["coordinates"]]
    lonlat = np.array([point[:2]])
    altitude = point[2] if len(point) > 2 else None
    translation = properties.get("translation")
    if crs is not None and crs.is_projected and translation is not None:
        # Metres of the project are what it computed with; the point was made from them.
        x, y, altitude = (float(v) for v in translation)
        lonlat = to_lonlat(np.array([[x, y]]), crs)
    if not (np.abs(lonlat) <= [180.0, 90.0]).all():
        raise ValueError(f"its point {point[:2]} is no longitude and latitude")
    size = (int(properties.get("height") or 0), int(properties.get("width") or 0))
    focal = float(properties.get("focal") or 0.0) or focal_ratio
    photo = AlignedPhoto(
        Path(str(properties["filename"]).replace("\\", "/")).name, float(lonlat[0, 1]), float(lonlat[0, 0]), altitude,
        focal_ratio=focal, size_hw=size if min(size) > 0 else None,
    )  # fmt: skip
    rotation = properties.get("rotation")
    if rotation is None:
        return photo
    yaw, pitch, roll = view_angles(_to_north_east_down(_matrix(np.array([float(v) for v in rotation]))))
    yaw = (yaw + _convergence_deg(lonlat, crs)) % 360.0
    return replace(photo, yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)


def _matrix(axis_angle: npt.NDArray[np.float64]) -> Matrix:
    """Rotation matrix of an axis times an angle in radians, shape (3,)."""
    if axis_angle.shape != (3,) or not np.isfinite(axis_angle).all():
        raise ValueError(f"its rotation {axis_angle.tolist()} is no axis of three numbers")
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross, np.float64)


def _to_north_east_down(world_to_camera: Matrix) -> Matrix:
    """World (east, north, up) to camera (right, down, forward) turned round, for `view_angles`."""
    right, down, forward = world_to_camera  # the camera's axes in the world
    east_north_up = np.column_stack([forward, right, down])
    return np.stack([east_north_up[1], east_north_up[0], -east_north_up[2]])


def _convergence_deg(lonlat: npt.NDArray[np.float64], crs: pyproj.CRS | None) -> float:
    """Direction of the grid's north, clockwise from true north; of UTM, as ODM has it, if the CRS is not known."""
    grid: Any = crs if crs is not None and crs.is_projected else choose_crs(lonlat)
    xy = to_crs(lonlat, grid)
    north = to_lonlat(xy + np.array([0.0, 100.0]), grid)[0]
    return float(_GEOD.inv(lonlat[0, 0], lonlat[0, 1], north[0], north[1])[0])


def _read_geo(path: Path) -> dict[str, AlignedPhoto]:
    """Positions from ``geo.txt``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as text ({error}); give OpenDroneMap's {_GEO}") from error
    lines = [line.strip() for line in lines]
    first = next((k for k, line in enumerate(lines) if line), None)
    if first is None:
        raise SettingsError(f"{path} is empty; its first line names the CRS, each further one a photo with x and y")
    try:
        crs = read_crs(lines[first])
    except SettingsError as error:
        raise SettingsError(f"the first line of {path} must name the CRS: {error}") from error
    photos = {}
    for number, line in enumerate(lines[first + 1 :], start=first + 2):
        if line and not line.startswith("#"):
            try:
                photo = _read_geo_line(line, crs)
            except ValueError as error:
                raise SettingsError(
                    f"line {number} of {path} is {line[:60]!r} ({error}); needed are the photo's name, x, y and, if "
                    "known, z, yaw, pitch, roll, horizontal and vertical accuracy"
                ) from error
            photos[photo.name] = photo
    return photos


def _read_geo_line(line: str, crs: pyproj.CRS) -> AlignedPhoto:
    name, values = _split(line)
    if len(values) < 2:
        raise ValueError(f"{len(values)} numbers")
    ((longitude, latitude),) = to_lonlat(np.array([values[:2]]), crs)
    if not (abs(longitude) <= 180 and abs(latitude) <= 90):
        raise ValueError("not on the globe; x is the longitude")
    photo = AlignedPhoto(name, float(latitude), float(longitude), values[2] if len(values) > 2 else None)
    # Zeros are ODM's way to say that angles are not known.
    if len(values) >= 6 and any(values[3:6]):
        yaw, pitch, roll = view_angles(_body_to_camera(*values[3:6]))
        photo = replace(photo, yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)
    if len(values) >= 8:
        horizontal, vertical = (value if value > 0 else None for value in values[6:8])
        photo = replace(photo, horizontal_sigma_m=horizontal, vertical_sigma_m=vertical)
    return photo


def _split(line: str) -> tuple[str, list[float]]:
    """Name and numbers of a line, without the extra fields at its end; names may hold spaces."""
    cells = line.split("\t") if "\t" in line else line.split()
    end = next((k for k, cell in enumerate(cells) if k and _is_number(cell)), len(cells))
    numbers = []
    for cell in cells[end : end + 8]:
        if not _is_number(cell):
            break
        numbers.append(float(cell))
    return Path(" ".join(cells[:end]).strip()).name, numbers


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _body_to_camera(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Matrix:
    """ODM's angles are those of a body that carries the camera looking down, its upper edge ahead: pitch 0 is nadir."""
    y, p, r = (math.radians(v) for v in (yaw_deg, pitch_deg, roll_deg))
    about_down = np.array([[math.cos(y), -math.sin(y), 0], [math.sin(y), math.cos(y), 0], [0, 0, 1]])
    about_right = np.array([[math.cos(p), 0, math.sin(p)], [0, 1, 0], [-math.sin(p), 0, math.cos(p)]])
    about_ahead = np.array([[1, 0, 0], [0, math.cos(r), -math.sin(r)], [0, math.sin(r), math.cos(r)]])
    ahead, right, below = (about_down @ about_right @ about_ahead).T
    return np.column_stack([below, right, -ahead])


def _with_accuracy(photo: AlignedPhoto, surveyed: AlignedPhoto | None) -> AlignedPhoto:
    if surveyed is None:
        return photo
    return replace(
        photo, horizontal_sigma_m=surveyed.horizontal_sigma_m, vertical_sigma_m=surveyed.vertical_sigma_m
    )


def _find(folder: Path, names: Iterable[str]) -> Path | None:
    """A file in a project's folder, wherever ODM, WebODM and people put it."""
    for name in names:
        for place in _PLACES:
            if (folder / place / name).is_file():
                return folder / place / name
    return None


def _project_of(shots: Path) -> Path:
    return shots.parent.parent if shots.parent.name == "odm_report" else shots.parent


def _read_project_crs(root: Path) -> pyproj.CRS | None:
    """The project's CRS; None if its files are not there."""
    found = _find(root, _CRS_FILES)
    if found is None:
        return None
    lines = found.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    try:
        return read_crs(lines[0])
    except SettingsError as error:
        raise SettingsError(f"the first line of {found} must name the CRS: {error}") from error


def _read_focal(root: Path) -> float | None:
    """Focal length of the only camera of ``cameras.json``, as a part of the longer side."""
    found = _find(root, (_CAMERAS,))
    content = None if found is None else _read_json(found)
    if not isinstance(content, dict) or len(content) != 1:
        return None
    camera = next(iter(content.values()))
    value = camera.get("focal", camera.get("focal_x")) if isinstance(camera, dict) else None
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is no JSON ({error}); let OpenDroneMap write it again") from error
