"""What is kept on disk until the report is the same before and after."""

import json
from datetime import UTC, datetime

import numpy as np
import shapely

from fissura.report.records import CrackPicture, SurveyArea, SurveyCrack, SurveyFrame, SurveyGround, WidthSamples
from fissura.survey.ground_record import GroundRecord
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
