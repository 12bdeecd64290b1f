"""A made-up survey as the writers of reports get it: frames, cracks, areas, sections, pictures on disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pyproj
from shapely.geometry import MultiPolygon, Polygon

from fissura.imaging.write import write_jpeg, write_mask
from fissura.report.records import (
    CrackPicture,
    MapPicture,
    SurveyArea,
    SurveyCrack,
    SurveyFrame,
    SurveyGround,
    SurveyResult,
    SurveySection,
    WidthSamples,
)
from fissura.spec import ModelCard

CRS = "EPSG:32630"
EAST, NORTH = 699000.0, 5633000.0
_HW = (240, 320)
_GSD_MM = 12.0
_CLASSES = ("longitudinal", "transverse", "diagonal", "other")
_SEVERITIES = ("low", "medium", "high")
_WIDTHS = ("width_mean", "width_median", "width_p95", "width_max", "width_sigma")


def to_lonlat(metres):
    """Metres east and north of the corner, shape (N, 2), to degrees."""
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(
        EAST + np.asarray(metres)[:, 0], NORTH + np.asarray(metres)[:, 1]
    )
    return np.column_stack([lon, lat])


def make_survey(folder: Path, *, cracks: int = 40, placed: bool = True, route: bool = True) -> SurveyResult:
    """A survey of twelve photos along a straight road of 30 m; two of them failed, one crack name is hostile.

    Args:
        folder: Of the run; overlays, masks and pictures of the worst cracks are written there.
        cracks: How many branches.
        placed: False for a survey without any place and scale: pixels only.
        route: Whether there is a reference line.
    """
    rng = np.random.default_rng(5)
    start = datetime(2026, 5, 4, 10, 30)
    frames = [_frame(folder, k, start, rng, placed) for k in range(12)]
    frames[4] = SurveyFrame("flight/DJI_0004.JPG", "flight/DJI_0004.JPG", status="failed", error="the file is cut off")
    frames[9] = replace(frames[9], sharpness=0.4, notes=("blurred: 0.4 of the usual sharpness",))
    rows = [_crack(folder, k, rng, placed, route, start) for k in range(cracks)]
    areas = [_area(1, np.array([[3.0, 1.0], [5.5, 1.2], [5.2, 3.0], [3.2, 2.8]]), placed, route)]
    total = sum(float(c.fields["length_m" if placed else "length_px"]) for c in rows)
    samples = [float(c.fields["width_mean_mm" if placed else "width_mean_px"]) for c in rows]
    lengths = [float(c.fields["length_m"]) * 1000 if placed else float(c.fields["length_px"]) for c in rows]
    result = SurveyResult(
        "flight", folder, frames, rows, areas,
        widths=[WidthSamples("mm" if placed else "px", samples, lengths, [w < 2 for w in samples])],
        crs=CRS if placed else None, model=_card(), standard="astm_d6433" if placed else "",
        limits=("These sums are the crack contribution only.", "Sealed cracks count as open ones."),
        thresholds_mm={"medium": 10.0, "high": 75.0} if placed else {},
        settings={"sources": ["flight"], "scale": 1.5, "rules": "astm_d6433", "model": "fast"},
        notes=(f"{total:.0f} {'m' if placed else 'px'} of crack were put together from twelve photos",),
        seconds={"photos": 31.5, "merge": 2.25, "measure": 8.0}, created_at=start + timedelta(hours=3),
    )  # fmt: skip
    if placed:
        _place(result, folder, route)
    return result


def _frame(folder, k, start, rng, placed):
    name = f"flight/DJI_{k:04d}.JPG"
    rgb = np.full((*_HW, 3), 120, np.uint8) + rng.integers(0, 20, (*_HW, 3), np.uint8)
    mask = np.zeros(_HW, np.uint8)
    cv2.polylines(mask, [np.array([[20, 30 + 5 * k], [150, 60 + 5 * k], [300, 50 + 5 * k]])], False, 1, 3)
    rgb[mask > 0] = (200, 60, 30)
    write_jpeg(folder / f"overlays/flight/DJI_{k:04d}.jpg", rgb)
    write_mask(folder / f"masks/flight/DJI_{k:04d}.png", mask > 0)
    common = {
        "kind": "photo", "size_hw": _HW, "sharpness": 1.0, "road_found": True, "direction_deg": 1.0, "slices": 6,
        "seconds": 2.6, "overlay": f"overlays/flight/DJI_{k:04d}.jpg", "mask": f"masks/flight/DJI_{k:04d}.png",
        "captured_at": start + timedelta(seconds=2 * k),
    }  # fmt: skip
    if not placed:
        return SurveyFrame(name, name, **common)
    x = 2.5 * k
    corners = np.array([[x - 1.92, 0.56], [x + 1.92, 0.56], [x + 1.92, 3.44], [x - 1.92, 3.44]])
    return SurveyFrame(
        name, name, **common, camera_lonlat=to_lonlat([[x, 2.0]])[0], footprint_lonlat=to_lonlat(corners),
        position_sigma_m=1.8, gsd_mm=_GSD_MM, height_m=40.0,
    )  # fmt: skip


def _crack(folder, k, rng, placed, route, start):
    length, width = float(rng.gamma(2.0, 0.8) + 0.1), float(rng.gamma(2.0, 3.0) + 0.5)
    at, angle = np.array([rng.uniform(0, 26), rng.uniform(0.8, 3.2)]), rng.uniform(0, np.pi)
    steps = np.linspace(0, length, 6)[:, None] * [np.cos(angle), np.sin(angle)]
    points = at + steps + rng.normal(0, 0.02, (6, 2))
    unit, factor = ("mm", 1.0) if placed else ("px", 1 / _GSD_MM)
    below = width < 2.0
    fields = {
        "id": k + 1, "crack_id": k // 2 + 1, "class": _CLASSES[k % 4], "orientation_deg": round(np.degrees(angle), 1),
        **({"length_m": round(length, 4)} if placed else {"length_px": round(length * 1000 / _GSD_MM, 2)}),
        **{f"{n}_{unit}": round(width * factor * s, 3) for n, s in zip(_WIDTHS, (1, 0.95, 1.5, 1.9, 0.2), strict=True)},
        "gsd_mm": _GSD_MM if placed else None, "below_gsd": below, "severity": _SEVERITIES[k % 3] if placed else "",
        "standard": "astm_d6433" if placed else "", "zone": "", "confidence": round(float(rng.uniform(0.5, 1)), 3),
        "source_frame": f"flight/DJI_{k % 4:04d}.JPG", "captured_at": start + timedelta(seconds=2 * (k % 4)),
        "model": "fast 0.3.0", "bridged_share": 0.0, "left_px": 20, "top_px": 30, "right_px": 300, "bottom_px": 60,
        "notes": "narrower than a pixel" if below else ("=1+1; <b>&</b> \"quoted\"" if k == 3 else ""), "extent": "",
    }  # fmt: skip
    picture = None
    if k < 25:
        rgb = np.full((160, 240, 3), 140, np.uint8) + rng.integers(0, 30, (160, 240, 3), np.uint8)
        cv2.polylines(rgb, [np.array([[10, 20 + 4 * (k % 20)], [120, 80], [230, 70]])], False, (40, 40, 42), 3)
        write_jpeg(folder / f"pictures/crack_{k + 1}.jpg", rgb)
        picture = CrackPicture(f"pictures/crack_{k + 1}.jpg", _GSD_MM / 3 if placed else None)
    if not placed:
        return SurveyCrack(fields, picture=picture)
    chainage = (float(points[:, 0].min()), float(points[:, 0].max())) if route else None
    offset = float(2.0 - points[3, 1]) if route else None
    return SurveyCrack(fields, to_lonlat(points), 1.8, chainage, offset, picture)


def _area(number, outline, placed, route):
    fields = {
        "id": number, "class": "alligator",
        **({"area_m2": 4.4, "crack_length_m": 22.5, "width_mean_mm": 3.4} if placed
           else {"area_px2": 30000, "crack_length_px": 1900.0, "width_mean_px": 0.3}),
        "severity": "medium" if placed else "", "standard": "astm_d6433" if placed else "",
        "source_frame": "flight/DJI_0001.JPG", "captured_at": None, "model": "fast 0.3.0", "left_px": 1, "top_px": 1,
        "right_px": 50, "bottom_px": 60,
    }  # fmt: skip
    if not placed:
        return SurveyArea(fields)
    return SurveyArea(fields, to_lonlat(outline), 1.8, (3.0, 5.5) if route else None)


def _place(result, folder, route):
    box = lambda a, b, c, d: Polygon(to_lonlat([[a, b], [c, b], [c, d], [a, d]]))  # noqa: E731
    result.ground = [
        SurveyGround("inspected", MultiPolygon([box(-2, 0.5, 8, 3.5), box(12, 0.5, 30, 3.5)]), 84.0),
        SurveyGround("too_blurred", box(8, 0.5, 10, 3.5), 6.0),
        SurveyGround("not_seen", box(10, 0.5, 12, 3.5), 6.0),
    ]
    positions = [f.camera_lonlat for f in result.frames if f.camera_lonlat is not None]
    result.tracks = [("flight", np.array(positions))]
    if route:
        result.route = to_lonlat([[0.0, 2.0], [30.0, 2.0]])
    for k in range(3 if route else 1):
        low, high = (10.0 * k, 10.0 * k + 10.0) if route else (0.0, 30.0)
        rows = [
            {"class": c, "severity": s, "zone": "", "cracks": 2 + k, "length_m": 3.5 * (k + 1), "area_m2": 0.0,
             "width_mean_mm": 4.25}
            for c in _CLASSES for s in _SEVERITIES
        ]  # fmt: skip
        rows.append({"class": "alligator", "severity": "medium", "zone": "", "cracks": 1, "length_m": 0.0,
                     "area_m2": 4.4, "width_mean_mm": None})  # fmt: skip
        line = to_lonlat([[low, 2.0], [high, 2.0]]) if route else None
        result.sections.append(
            SurveySection(f"{low:.0f} to {high:.0f} m", low, high, line, 28.0, 0.9 if k else 1.0, tuple(rows))
        )
    rgb = np.full((200, 1400, 3), 100, np.uint8)
    rgb[60:140] = 130
    write_jpeg(folder / "mosaic.jpg", rgb)
    result.pictures = [MapPicture("mosaic.jpg", to_lonlat([[-3, 5], [32, 5], [32, 0], [-3, 0]]))]


def _card() -> ModelCard:
    return ModelCard(
        name="fast", version="0.3.0", description="A model of a made-up survey", architecture="hacnet_v2",
        parameters=450000, figures={"deepcrack/test F1": 0.85}, limits=("Straight joints can be taken for cracks.",),
    )  # fmt: skip
