"""Photos of a run: what is measured anew when masks or places change, what is left out, what files are called."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fissura.errors import ImageError
from fissura.geo.odm import AlignedPhoto
from fissura.infer.segmenter import Segmenter, load_segmenter
from fissura.mask_folder import MaskFolder
from fissura.spec import ConfidenceCurve
from fissura.survey import photo_ground, photo_stage
from fissura.survey.photo_stage import PhotoStage
from fissura.survey.request import SurveyRequest
from fissura.survey.run import find_inputs
from fissura.survey.run_folder import RunFolder
from fissura.synth.aerial.camera import motion_kernel
from fissura.synth.camera import NadirCamera
from fissura.synth.photo import Geotag, write_tagged_jpeg

HW = (240, 320)
LINE = (20, 120), (300, 130)


class WithCurve(Segmenter):
    """Says how sure it is: the probability itself."""

    @property
    def card(self):
        curve = ConfidenceCurve(intercept=0.0, logit=(1.0, 0.0), log_length=(0.0, 0.0))
        return super().card.model_copy(update={"confidence": curve})


def write_photo(path, *, seed, latitude_deg=None, height_m=3.0):
    """Rough ground with one dark line, and its mask; without a latitude the photo does not know where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).normal(150, 8, HW)
    line = cv2.line(np.zeros(HW, np.uint8), *LINE, 255, 3)
    rgb = np.dstack([np.where(line > 0, 60, grey).clip(0, 255).astype(np.uint8)] * 3)
    if latitude_deg is None:
        cv2.imwrite(str(path), rgb)
    else:
        write_tagged_jpeg(
            path, rgb, NadirCamera(height_m, image_hw=HW), Geotag(latitude_deg, 11.0), make="fissura",
            model="synthetic nadir camera", quality=95,
        )  # fmt: skip
    return line


def write_shot(path, *, seed, latitude_deg, moved_px):
    """Ground of fine detail that may have moved, with the noise that a sensor adds afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    grey = sum(
        strength * cv2.resize(rng.standard_normal((HW[0] // side, HW[1] // side)), HW[::-1])
        for side, strength in ((2, 10), (5, 12), (20, 14))
    )
    if moved_px:
        grey = cv2.filter2D(grey, -1, motion_kernel(moved_px, 35.0))
    grey = 130 + grey + 4.0 * rng.standard_normal(HW)
    write_tagged_jpeg(
        path, np.dstack([grey.clip(0, 255).astype(np.uint8)] * 3), NadirCamera(3.0, image_hw=HW),
        Geotag(latitude_deg, 11.0), make="fissura", model="synthetic nadir camera", quality=95,
    )  # fmt: skip


def survey(photos, out, *, masks=None, segmenter=None, alignment=None, **options):
    """The photos of a folder, without the report of the run."""
    request = SurveyRequest(
        (str(photos),), out, mask=masks, ground_height_m=0.0, scale=1.0, whole_frame=True, quiet=True, **options
    )
    folder, inputs = RunFolder(out, {}, {}), find_inputs(request)
    folder.open(overwrite=False)
    found = None if masks is None else MaskFolder(masks, inputs.photos)
    stage = PhotoStage(request, folder, [segmenter] if segmenter else [], found, None, alignment or {})
    stage.run(inputs.photos, inputs.names, inputs.sources)
    return stage


def test_corrected_masks_are_measured(tmp_path):
    (tmp_path / "masks").mkdir()
    for k, (name, latitude) in enumerate((("placed", 48.0), ("alone", None))):
        line = write_photo(tmp_path / "photos" / f"{name}.jpg", seed=k, latitude_deg=latitude)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), line)
    first = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert len(first.grounds) == 2 and all(len(ground.cracks) == 1 for ground in first.grounds)
    for name in ("placed", "alone"):
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), np.zeros(HW, np.uint8))
    second = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert len(second.grounds) == 2 and not any(ground.cracks for ground in second.grounds)


def test_cracks_move_with_the_alignment(tmp_path):
    (tmp_path / "masks").mkdir()
    line = write_photo(tmp_path / "photos" / "a.jpg", seed=0, latitude_deg=48.0)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), line)
    at = AlignedPhoto("a.jpg", 48.2, 11.6, horizontal_sigma_m=0.02)
    places, sigmas = [], []
    for photo in (at, replace(at, latitude_deg=48.3), replace(at, latitude_deg=48.3, horizontal_sigma_m=5.0)):
        stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks", alignment={"a.jpg": photo})
        ((crack,),) = (ground.cracks for ground in stage.grounds)
        places.append(crack.lonlat.mean(axis=0))
        sigmas.append(crack.position_sigma_m)
    assert places[1][1] - places[0][1] == pytest.approx(0.1, abs=1e-6)
    assert sigmas[2] > 2 * sigmas[1]


@pytest.mark.parametrize("latitude_deg", [48.0, None])
def test_doubtful_finds_are_left_out_of_every_photo(tmp_path, tiny_onnx, latitude_deg):
    write_photo(tmp_path / "photos" / "a.jpg", seed=0, latitude_deg=latitude_deg)
    segmenter = WithCurve(load_segmenter(str(tiny_onnx), threads=1).backend)
    (kept,) = survey(tmp_path / "photos", tmp_path / "all", segmenter=segmenter, least_confidence=0.0).grounds
    (left,) = survey(tmp_path / "photos", tmp_path / "sure", segmenter=segmenter, least_confidence=1.0).grounds
    assert kept.cracks and not left.cracks
    assert any("--least-confidence" in note for note in left.notes)


@pytest.mark.parametrize("latitude_deg", [48.0, None])
def test_another_confidence_needs_no_second_look(tmp_path, tiny_onnx, monkeypatch, latitude_deg):
    write_photo(tmp_path / "photos" / "a.jpg", seed=0, latitude_deg=latitude_deg)
    segmenter = WithCurve(load_segmenter(str(tiny_onnx), threads=1).backend)
    (first,) = survey(tmp_path / "photos", tmp_path / "run", segmenter=segmenter, least_confidence=0.0).grounds
    monkeypatch.delattr(photo_stage, "look_at_photo")
    (left,) = survey(tmp_path / "photos", tmp_path / "run", segmenter=segmenter, least_confidence=1.0).grounds
    assert first.cracks and not left.cracks
    (again,) = survey(tmp_path / "photos", tmp_path / "run", segmenter=segmenter, least_confidence=0.0).grounds
    assert len(again.cracks) == len(first.cracks)


@pytest.mark.parametrize("latitudes_deg", [(48.0, 49.0), (None, None)])
def test_files_of_photos_of_like_names_are_their_own(tmp_path, latitudes_deg):
    for k, (name, latitude) in enumerate(zip(("day1/a", "day1_a"), latitudes_deg, strict=True)):
        line = write_photo(tmp_path / "photos" / f"{name}.jpg", seed=k, latitude_deg=latitude)
        mask = tmp_path / "masks" / f"{name}.png"
        mask.parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(mask), line)
    stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    pictures = [crack.picture.path for ground in stage.grounds for crack in ground.cracks]
    mosaics = [ground.mosaic.path for ground in stage.grounds if ground.mosaic is not None]
    assert len(set(pictures)) == 2 and all((tmp_path / "run" / path).is_file() for path in pictures)
    assert len(set(mosaics)) == sum(latitude is not None for latitude in latitudes_deg)


@pytest.mark.parametrize("kind", ["work/photos/{}.npz", "probability/{}.png"])
@pytest.mark.parametrize("damage", [
    lambda data: data[:-40], lambda data: data[:60] + b"\0\0\0\0" + data[64:], lambda data: bytes(len(data)),
])  # fmt: skip
def test_a_photo_whose_files_are_damaged_is_looked_at_again(tmp_path, monkeypatch, kind, damage):
    for k, name in enumerate("ab"):
        line = write_photo(tmp_path / "photos" / f"{name}.jpg", seed=k, latitude_deg=48.0 + 5e-6 * k)
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), line)
    first = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    broken = tmp_path / "run" / kind.format("b")
    whole = broken.read_bytes()
    broken.write_bytes(damage(whole))
    # All ground is measured again.
    for record in (tmp_path / "run" / "work" / "grounds").glob("*.json"):
        record.unlink()
    looked = []
    plain = photo_stage.look_at_photo
    monkeypatch.setattr(photo_stage, "look_at_photo", lambda *a, **k: looked.append(a[1]) or plain(*a, **k))
    second = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert looked == ["b"] and broken.read_bytes() == whole
    assert [frame.status for frame in second.frames] == ["done", "done"]
    assert [len(ground.cracks) for ground in second.grounds] == [len(ground.cracks) for ground in first.grounds]


def test_photos_that_cannot_be_put_together_cost_no_others(tmp_path, monkeypatch):
    def gone(folder, name):
        raise ImageError(f"{name} is gone")

    for k, (name, latitude) in enumerate((("a", 48.0), ("b", 48.0 + 5e-6), ("c", None))):
        line = write_photo(tmp_path / "photos" / f"{name}.jpg", seed=k, latitude_deg=latitude)
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), line)
    monkeypatch.setattr(photo_ground, "read_features", gone)  # after the stage has looked for them
    stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert [frame.status for frame in stage.frames] == ["failed", "failed", "done"]
    assert "is gone" in stage.frames[0].error and len(stage.grounds) == 1


def test_ground_in_photos_that_moved_is_too_blurred(tmp_path):
    (tmp_path / "masks").mkdir()
    for k in range(5):
        write_shot(tmp_path / "photos" / f"{k}.jpg", seed=k, latitude_deg=48.0 + 0.01 * k, moved_px=14.0 * (k == 3))
        cv2.imwrite(str(tmp_path / "masks" / f"{k}.png"), np.zeros(HW, np.uint8))
    stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    relative = [frame.sharpness for frame in stage.frames]
    assert relative[3] < 0.6 and min(relative[:3] + relative[4:]) > 0.85
    assert [{g.state for g in ground.ground} for ground in stage.grounds].count({"too_blurred"}) == 1
    # Looks that older versions kept have only the detail, and stay.
    for path in (tmp_path / "run" / "work" / "photos").glob("*.json"):
        raw = json.loads(path.read_text())
        del raw["content"]["evenness"]
        path.write_text(json.dumps(raw))
    old = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert [frame.status for frame in old.frames] == ["done"] * 5 and old.frames[3].sharpness > 0.85


def test_an_alignment_moves_its_own_photos_alone(tmp_path):
    for k, day in enumerate(("day1", "day2")):
        line = write_photo(tmp_path / "photos" / day / "a.jpg", seed=k, latitude_deg=48.0 + k)
        (tmp_path / "masks" / day).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "masks" / day / "a.png"), line)
    at = {"a.jpg": AlignedPhoto("a.jpg", 49.0001, 11.0)}
    stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks", alignment=at)
    assert [frame.camera_lonlat[1] for frame in stage.frames] == pytest.approx([48.0, 49.0001], abs=1e-7)
    assert any("another photo of that name" in note for note in stage.frames[0].notes)


def test_photos_from_very_different_heights_have_ground_pixels_of_their_own(tmp_path):
    heights_m = {"near1": 1.0, "far1": 6.0, "far2": 5.8, "near2": 1.1, "near3": 1.0}
    for k, (name, height_m) in enumerate(heights_m.items()):
        line = write_photo(
            tmp_path / "photos" / f"{name}.jpg", seed=k, latitude_deg=48.0 + 2e-5 * k, height_m=height_m
        )
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), line)
    stage = survey(tmp_path / "photos", tmp_path / "run", masks=tmp_path / "masks")
    assert all(frame.status == "done" for frame in stage.frames) and len(stage.frames) == 5
    pixel = NadirCamera(1.0, image_hw=HW).gsd_mm
    for frame in stage.frames:
        height_m = heights_m[Path(frame.name).stem]
        assert frame.gsd_mm == pytest.approx(pixel * height_m, rel=0.1)
    sizes = {round(float(c.fields["gsd_mm"]) / pixel) for ground in stage.grounds for c in ground.cracks}
    assert sizes == {1, 6}
    assert all(any("measured apart" in note for note in ground.notes) for ground in stage.grounds)
