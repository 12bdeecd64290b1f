"""What several inputs found, put together."""

import pytest
from shapely.geometry import box

from fissura.report.records import SurveyGround
from fissura.survey.assemble import _merge_states

WEST, EAST, BOTH = box(11, 48, 11.001, 48.001), box(11.001, 48, 11.002, 48.001), box(11, 48, 11.002, 48.001)


@pytest.mark.parametrize(("ground", "expected"), [
    ([("inspected", WEST, 100.0), ("inspected", WEST, 100.0)], {"inspected": 100.0}),
    ([("inspected", WEST, 100.0), ("inspected", EAST, 100.0)], {"inspected": 200.0}),
    ([("inspected", WEST, 100.0), ("inspected", BOTH, 200.0)], {"inspected": 200.0}),
    ([("inspected", WEST, 100.0), ("too_blurred", BOTH, 200.0), ("too_blurred", EAST, 100.0)],
     {"inspected": 100.0, "too_blurred": 100.0}),
    ([("inspected", WEST, 100.0), ("inspected", WEST, 100.0), ("inspected", None, 30.0)], {"inspected": 130.0}),
    ([("inspected", WEST, 100.0), ("too_blurred", WEST, 100.0), ("too_blurred", None, 30.0)],
     {"inspected": 100.0, "too_blurred": 30.0}),
])  # fmt: skip
def test_ground_that_several_inputs_show_counts_once(ground, expected):
    merged = _merge_states([SurveyGround(*entry) for entry in ground])
    assert {entry.state: entry.area_m2 for entry in merged} == pytest.approx(expected)
