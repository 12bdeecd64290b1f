from __future__ import annotations

from dataclasses import replace

import ezdxf
import numpy as np
import pytest

from fissura.errors import OutputError
from fissura.report.dxf import write_dxf
from fissura.report.records import SurveyArea, SurveyCrack, SurveyResult
from support.sample_survey import EAST, NORTH, make_survey, to_lonlat

LAYERS = {
    "CRACK_LONGITUDINAL", "CRACK_TRANSVERSE", "CRACK_DIAGONAL", "CRACK_ALLIGATOR", "CRACK_OTHER", "CRACK_LABELS",
    "ALLIGATOR_OUTLINE", "ALLIGATOR_HATCH", "FRAMES", "FRAMES_FAILED", "ROUTE", "TRACKS",
}  # fmt: skip


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> SurveyResult:
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def drawing(survey):
    return write(survey.folder, survey)


def write(folder, result):
    assert write_dxf(folder / "a.dxf", result)
    drawing = ezdxf.readfile(folder / "a.dxf")
    auditor = drawing.audit()
    assert not auditor.errors and not auditor.fixes
    return drawing


def cracks(drawing):
    return [entity for entity in drawing.modelspace().query("LWPOLYLINE") if entity.dxf.layer.startswith("CRACK_")]


def test_header_and_layers(drawing, survey):
    assert drawing.header["$INSUNITS"] == 6 and drawing.header["$MEASUREMENT"] == 1
    assert dict(drawing.header.custom_vars.properties)["CRS"] == "EPSG:32630"
    assert (survey.folder / "a.dxf").read_text("utf-8").startswith("999\nfissura: coordinates in metres, EPSG:32630")
    assert LAYERS <= {layer.dxf.name for layer in drawing.layers}
    used = {entity.dxf.layer for entity in drawing.modelspace()}
    assert used == LAYERS - {"CRACK_ALLIGATOR", "FRAMES_FAILED"}


def test_cracks_lie_where_they_are_in_metres(drawing, survey):
    found = cracks(drawing)
    assert len(found) == 40
    for entity, crack in zip(found, survey.cracks, strict=True):
        points = np.array([(x, y) for x, y, *_ in entity.get_points()])
        assert np.allclose(to_lonlat(points - (EAST, NORTH)), crack.lonlat, atol=1e-10)
        assert entity.dxf.layer == f"CRACK_{crack.fields['class'].upper()}" and not entity.closed
        assert (entity.dxf.get("linetype", "BYLAYER") == "DASHED") == crack.fields["below_gsd"]


def test_colours_go_by_severity(drawing, survey):
    colours = {}
    for entity, crack in zip(cracks(drawing), survey.cracks, strict=True):
        colours.setdefault(crack.fields["severity"], set()).add(entity.dxf.color)
    assert colours == {"low": {2}, "medium": {30}, "high": {1}}


def test_wider_cracks_are_heavier(drawing, survey):
    pairs = [(c.fields["width_mean_mm"], e.dxf.lineweight) for e, c in zip(cracks(drawing), survey.cracks, strict=True)]
    weights = [weight for _, weight in sorted(pairs)]
    assert weights == sorted(weights) and len(set(weights)) >= 4


def test_rows_are_in_the_extended_data(drawing):
    data = [value for _, value in cracks(drawing)[4].get_xdata("FISSURA")]
    assert "id=5" in data and "crack_id=3" in data and "source_frame=flight/DJI_0000.JPG" in data


def test_labels_say_the_width(drawing, survey):
    texts = list(drawing.modelspace().query("TEXT"))
    assert len(texts) == 40 and all(-90 <= text.dxf.rotation <= 90 for text in texts)
    first = survey.cracks[0].fields
    assert texts[0].dxf.text == f"{first['width_mean_mm']:.3g} mm"
    unseen = next(i for i, crack in enumerate(survey.cracks) if crack.fields["below_gsd"])
    assert survey.cracks[unseen].fields["width_mean_mm"] < 12.0
    assert texts[unseen].dxf.text == "< 12 mm"
    points = np.array([(x, y) for x, y, *_ in cracks(drawing)[0].get_points()])
    at = np.array([texts[0].dxf.insert.x, texts[0].dxf.insert.y])
    assert np.hypot(*(points - at).T).min() < first["length_m"] / 4


def test_a_crack_wider_than_a_pixel_that_was_not_resolved_is_not_called_finer(tmp_path):
    survey = make_survey(tmp_path, cracks=1)
    fields = survey.cracks[0].fields | {"below_gsd": True, "gsd_mm": 5.0, "width_mean_mm": 7.43}
    drawing = write(tmp_path, replace(survey, cracks=[replace(survey.cracks[0], fields=fields)]))
    assert [text.dxf.text for text in drawing.modelspace().query("TEXT")] == ["< 7.43 mm"]


def test_areas_are_hatched(drawing):
    (hatch,) = drawing.modelspace().query("HATCH")
    (outline,) = (e for e in drawing.modelspace().query("LWPOLYLINE") if e.dxf.layer == "ALLIGATOR_OUTLINE")
    assert not hatch.dxf.solid_fill and len(hatch.paths) == 1 and outline.closed
    points = np.array([(x - EAST, y - NORTH) for x, y, *_ in outline.get_points()])
    assert sorted(map(tuple, np.round(points, 3))) == [(3.0, 1.0), (3.2, 2.8), (5.2, 3.0), (5.5, 1.2)]


def test_frames_route_and_tracks(drawing):
    layers = [entity.dxf.layer for entity in drawing.modelspace().query("LWPOLYLINE")]
    assert (layers.count("FRAMES"), layers.count("ROUTE"), layers.count("TRACKS")) == (11, 1, 1)


def test_without_a_place_there_is_no_drawing(tmp_path):
    assert write_dxf(tmp_path / "a.dxf", make_survey(tmp_path, placed=False)) is False
    assert not (tmp_path / "a.dxf").exists()


def test_empty_survey(tmp_path):
    drawing = write(tmp_path, SurveyResult("x", tmp_path, crs="EPSG:32630"))
    assert len(drawing.modelspace()) == 0 and LAYERS <= {layer.dxf.name for layer in drawing.layers}


def test_hostile_text_and_broken_shapes(survey, tmp_path):
    fields = {**survey.cracks[0].fields, "severity": "x\n0\nSECTION", "source_frame": "裂" * 300 + "\udcff\r\n^J%%c",
              "class": "a|*<>?"}  # fmt: skip
    point = to_lonlat([[1, 1], [1, 1]])
    bowtie = to_lonlat([[0, 0], [4, 4], [4, 0], [0, 4]])
    result = replace(
        survey, cracks=[SurveyCrack(fields, survey.cracks[0].lonlat), SurveyCrack(fields, point), SurveyCrack(fields)],
        areas=[SurveyArea({"severity": "x"}, bowtie), SurveyArea({}, point)],
    )  # fmt: skip
    drawing = write(tmp_path, result)
    (crack,) = cracks(drawing)
    assert crack.dxf.layer == "CRACK_OTHER"
    assert [v for _, v in crack.get_xdata("FISSURA")][3] == "severity=x 0 SECTION"
    assert len(drawing.modelspace().query("HATCH")) == 2  # the two halves of the outline that crosses itself


def test_a_failed_write_leaves_no_file(survey, tmp_path):
    (tmp_path / "a.dxf").mkdir()
    with pytest.raises(OutputError, match=r"a\.dxf"):
        write_dxf(tmp_path / "a.dxf", survey)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dxf"]
