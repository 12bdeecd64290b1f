"""Focal length in pixels from every combination of fields."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fissura.errors import GeometryError, SettingsError
from fissura.geo.cameras import find_sensor
from fissura.geo.focal import estimate_focal_px, missing_focal
from fissura.geo.metadata import PhotoMetadata

P4P = PhotoMetadata((3648, 5472), model="FC6310", exif_size_hw=(3648, 5472), focal_mm=8.8, focal_35mm=24.0)


def test_from_the_table():
    focal = estimate_focal_px(P4P)
    assert focal.px == pytest.approx(8.8 / 13.2 * 5472)
    assert 0.01 < focal.sigma < 0.03
    assert "13.2 mm wide sensor of FC6310" in focal.notes[0]


@pytest.mark.parametrize(
    ("size_hw", "px"),
    [
        ((3078, 5472), 8.8 / 13.2 * 5472),  # 16:9 keeps the sensor's width
        ((3648, 4864), 8.8 / 8.8 * 3648),  # 4:3 keeps the height of a 3:2 sensor
        ((3648, 3648), 8.8 / 8.8 * 3648),
        ((5472, 3648), 8.8 / 13.2 * 5472),  # upright
    ],
)
def test_cuts_in_the_camera(size_hw, px):
    metadata = replace(P4P, size_hw=size_hw, exif_size_hw=size_hw)
    assert estimate_focal_px(metadata).px == pytest.approx(px)


def test_resized_copies_scale_with_their_pixels():
    small = estimate_focal_px(replace(P4P, size_hw=(912, 1368)))
    assert small.px == pytest.approx(estimate_focal_px(P4P).px / 4)
    assert any("resized from 5472 to 1368 px" in note for note in small.notes)
    pitch = PhotoMetadata((75, 100), exif_size_hw=(3000, 4000), focal_mm=10.0, focal_plane_px_per_mm=400.0)
    assert estimate_focal_px(pitch).px == pytest.approx(100.0)
    calibrated = PhotoMetadata((75, 100), exif_size_hw=(3000, 4000), calibrated_focal_px=3600.0)
    assert estimate_focal_px(calibrated).px == pytest.approx(90.0)
    # Turned by an editor that forgot the fields.
    assert estimate_focal_px(replace(P4P, size_hw=(5472, 3648))).px == pytest.approx(estimate_focal_px(P4P).px)


def test_a_cropped_copy_is_an_error_that_names_the_fields():
    with pytest.raises(GeometryError, match=r"2000x2000.*ExifImageWidth.*5472x3648.*--gsd-mm"):
        estimate_focal_px(replace(P4P, size_hw=(2000, 2000)))


@pytest.mark.parametrize("size_hw", [(3000, 4000), (4000, 3000), (2000, 3000)])
def test_35mm_is_by_the_diagonal(size_hw):
    metadata = PhotoMetadata(size_hw, focal_35mm=43.2666)
    focal = estimate_focal_px(metadata)
    assert focal.px == pytest.approx(math.hypot(*size_hw), rel=1e-4)
    assert focal.sigma > 0.03


def test_35mm_of_a_16_9_cut_counts_the_whole_sensor():
    whole = estimate_focal_px(PhotoMetadata((3000, 4000), focal_mm=4.5, focal_35mm=24.0))
    cut = estimate_focal_px(PhotoMetadata((2250, 4000), focal_mm=4.5, focal_35mm=24.0))
    assert cut.px == pytest.approx(whole.px)
    full_frame = estimate_focal_px(PhotoMetadata((3375, 6000), focal_mm=24.0, focal_35mm=24.0))
    assert full_frame.px == pytest.approx(24.0 / 36.0 * 6000, rel=1e-6)


def test_digital_zoom_is_in_the_35mm_value_and_multiplies_the_others():
    zoomed = replace(P4P, digital_zoom=2.0, focal_35mm=48.0)
    focal = estimate_focal_px(zoomed)
    assert focal.px == pytest.approx(2 * estimate_focal_px(P4P).px)
    assert not any("left out" in note for note in focal.notes)


def test_the_odd_one_out_is_named_and_left_out():
    wrong_35 = replace(P4P, focal_35mm=50.0, focal_plane_px_per_mm=5472 / 13.2)
    focal = estimate_focal_px(wrong_35)
    assert focal.px == pytest.approx(estimate_focal_px(P4P).px)
    assert any(note.startswith("EXIF FocalLengthIn35mmFilm 50 mm was left out") for note in focal.notes)
    wrong_pitch = estimate_focal_px(replace(P4P, focal_plane_px_per_mm=72 / 25.4))
    assert wrong_pitch.px == pytest.approx(estimate_focal_px(P4P).px)


def test_two_against_the_table():
    tele = replace(P4P, focal_mm=8.8, focal_35mm=70.0, focal_plane_px_per_mm=1209.0)
    assert estimate_focal_px(tele).px == pytest.approx(8.8 * 1209.0)


def test_contradictory_fields_are_an_error_that_names_them():
    with pytest.raises(GeometryError, match=r"contradict.*FocalLength 8.8 mm.*FC6310.*FocalLengthIn35mmFilm 50 mm"):
        estimate_focal_px(replace(P4P, focal_35mm=50.0))


def test_the_users_sensor_width_wins():
    focal = estimate_focal_px(replace(P4P, focal_35mm=50.0), sensor_width_mm=10.0)
    assert focal.px == pytest.approx(8.8 / 10.0 * 5472)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(SettingsError, match="--sensor-width-mm"):
            estimate_focal_px(P4P, sensor_width_mm=bad)


def test_what_is_missing_is_said():
    nothing = PhotoMetadata((300, 400))
    assert estimate_focal_px(nothing) is None
    assert "FocalLength" in missing_focal(nothing) and "--gsd-mm" in missing_focal(nothing)
    unknown = PhotoMetadata((300, 400), make="Acme", model="X", focal_mm=4.0)
    assert estimate_focal_px(unknown) is None
    assert "sensor of Acme X is unknown" in missing_focal(unknown)
    assert "--sensor-width-mm" in missing_focal(unknown)


@pytest.mark.parametrize(
    ("model", "focal_mm", "long_px", "width_mm"),
    [
        ("FC300S", 3.61, 4000, 6.17), ("fc220", 4.73, 4000, 6.17), ("L1D-20c", 10.26, 5472, 13.2),
        ("M3E", 12.29, 5280, 17.3), ("M3E", 29.9, 4000, 6.4), ("M3T", 9.1, 640, 7.68), ("M3T", 4.4, 4000, 6.4),
        ("ZenmuseP1", 35.0, 8192, 35.9), ("ZH20T", 13.5, 640, 7.68), ("ILCE-7RM4", 35.0, 9504, 35.9),
        ("ILCE-6000", 16.0, 6000, 23.5), ("NIKON D850", 50.0, 8256, 35.9), ("NIKON D5600", 18.0, 6000, 23.5),
        ("Canon EOS 5D Mark III", 24.0, 5760, 35.9), ("Canon EOS 80D", 18.0, 6000, 22.3),
    ],
)  # fmt: skip
def test_models_with_several_cameras_are_told_apart(model, focal_mm, long_px, width_mm):
    size_hw = round(long_px * 0.75), long_px
    assert find_sensor(PhotoMetadata(size_hw, model=model, focal_mm=focal_mm)).width_mm == width_mm


@pytest.mark.parametrize("model", ["", "FC9999", "M3E tele", "iPhone 14 Pro"])
def test_unknown_models(model):
    assert find_sensor(PhotoMetadata((300, 400), model=model, focal_mm=6.0)) is None
