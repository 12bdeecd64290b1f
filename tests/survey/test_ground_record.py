"""What is kept on disk until the report is the same before and after."""

import json
from datetime import UTC, datetime

import numpy as np
import shapely

from fissura.measure.rules import Level, Levels, read_rules
from fissura.report.records import CrackPicture, SurveyArea, SurveyCrack, SurveyFrame, SurveyGround, WidthSamples
from fissura.survey.ground_record import GroundRecord, add_pictures
from fissura.survey.video_results import VideoOutcome


def made():
    at = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
    line = np.array([[11.600000012345678, 48.2], [11.61, 48.20000098765432]])
    crack = SurveyCrack({"id": 1, "crack_id": 1, "captured_at": at, "length_m": 1.5}, line, 2.6,
                        picture=CrackPicture("pictures/a.jpg", 3.3))  # fmt: skip
    ground = GroundRecord(
        [crack], [SurveyArea({"id": 1}, np.vstack([line, [[11.6, 48.3]]]), 2.6)],
        WidthSamples("mm", [1.0], [2.0], [False]),
        [SurveyGround("inspected", shapely.box(11.6, 48.2, 11.61, 48.21), 12.5)], notes=("a note",), seconds=1.25,
    )  # fmt: skip
    frame = SurveyFrame("flight.mp4#7", "flight.mp4", kind="video", captured_at=at, camera_lonlat=line[0],
                        footprint_lonlat=line, size_hw=(360, 640))  # fmt: skip
    return VideoOutcome([ground], [frame], [[11.6, 48.2]], {"frames": 100}, True, ("a note",))


def test_once_read_back_nothing_changes_any_more():
    once = VideoOutcome.from_plain(json.loads(json.dumps(made().to_plain())))
    again = VideoOutcome.from_plain(json.loads(json.dumps(once.to_plain())))
    assert json.dumps(once.to_plain()) == json.dumps(again.to_plain())
    assert (once.frames[0].footprint_lonlat == again.frames[0].footprint_lonlat).all()
    assert (once.grounds[0].cracks[0].lonlat == again.grounds[0].cracks[0].lonlat).all()
    assert once.frames[0].captured_at == made().frames[0].captured_at
    assert once.grounds[0].cracks[0].fields["captured_at"] == once.frames[0].captured_at
    assert abs(once.frames[0].footprint_lonlat - made().frames[0].footprint_lonlat).max() < 1e-9


def test_pictures_are_of_the_cracks_that_the_rules_call_worst(tmp_path, monkeypatch):
    """Names whose numbers fall as cracks grow wider."""
    monkeypatch.setattr("fissura.survey.ground_record.PICTURES", 1)
    levels = Levels(longitudinal=(
        Level(name="grade 3", below_mm=10), Level(name="grade 2", below_mm=75), Level(name="grade 1"),
    ))  # fmt: skip
    rules = read_rules("astm_d6433").model_copy(update={"levels": levels})
    cracks = [
        SurveyCrack({"id": k, "length_m": 1.0, "width_mean_mm": 9.0, "severity": f"grade {k}", "source_frame": "a"})
        for k in (1, 2, 3)
    ]
    record = GroundRecord(cracks=cracks, widths=WidthSamples("mm", [], [], []))
    add_pictures(record, tmp_path, "a", lambda crack: (np.zeros((40, 40, 3), np.uint8), None), rules)
    assert [crack.picture is not None for crack in record.cracks] == [True, False, False]
