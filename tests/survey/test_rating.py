"""Kinds and levels by rules that come later are those that measuring with them gives."""

import json

import numpy as np
import pytest

from fissura.geo.scale import GroundScale
from fissura.measure.measuring import MeasureOptions, measure_cracks
from fissura.measure.rules import Angles, read_rules, rule_names
from fissura.report.records import SurveyArea, SurveyCrack
from fissura.report.tables import area_fields, crack_fields
from fissura.survey.ground_record import GroundRecord
from fissura.survey.rating import RatingBasis
from support.drawn import draw_cracks, straight

RULES = [None, *map(read_rules, rule_names())]
RULES += [
    read_rules("astm_d6433").model_copy(update={"name": statistic, "width_statistic": statistic, "angles": angles})
    for statistic, angles in (
        ("median", Angles(longitudinal_up_to_deg=5, transverse_above_deg=88)),
        ("p95", Angles(longitudinal_up_to_deg=50, transverse_above_deg=50)), ("max", Angles(between="other")),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    """Cracks of all kinds: along the road (up), across it, askew, with a twig, a field of cells."""
    cracks = [
        straight((30, 40), (570, 60), (2.0, 9.0)), straight((60, 100), (75, 420), 4.0),
        straight((150, 90), (330, 250), (1.5, 6.0)), straight((300, 50), (310, 75), 2.0),
    ]  # fmt: skip
    cracks += [straight((300, 330 + 40 * k), (540, 335 + 40 * k), 3.0 + k % 3) for k in range(6)]
    cracks += [straight((300 + 48 * k, 330), (298 + 48 * k, 535), 3.0) for k in range(6)]
    return draw_cracks(*zip(*cracks, strict=True), (600, 600))


def record(found):
    areas = [SurveyArea(area_fields(area)) for area in found.areas]
    cracks = [SurveyCrack(crack_fields(crack)) for crack in found.cracks]
    return GroundRecord(cracks, areas, bases=[RatingBasis.of(crack) for crack in found.cracks])


def rows(finds):
    return [[find.fields[name] for name in ("id", "class", "severity", "standard")] for find in finds]


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: "none" if rules is None else rules.name)
@pytest.mark.parametrize("scale", [None, GroundScale.uniform(2.5)], ids=["px", "mm"])
@pytest.mark.parametrize("road_deg", [None, 90.0])
def test_as_measuring_with_these_rules_gives_them(drawn, rules, scale, road_deg):
    common = {"rgb": drawn.rgb, "scale": scale}
    plain = record(measure_cracks(drawn.mask, options=MeasureOptions(road_direction_deg=road_deg), **common))
    measured = measure_cracks(drawn.mask, options=MeasureOptions(road_direction_deg=road_deg, rules=rules), **common)
    known = GroundRecord.from_plain(json.loads(json.dumps(plain.to_plain())))
    rated, expected = known.rated(rules), record(measured)
    assert len(expected.areas) == 1 and len(expected.cracks) > 20
    assert rows(rated.cracks) == rows(expected.cracks) and rows(rated.areas) == rows(expected.areas)
    assert rows(known.cracks) == rows(plain.cracks)  # it stays as it was
    assert rows(known.rated(read_rules("ltpp")).rated(rules).cracks) == rows(expected.cracks)


def test_the_drawing_has_something_to_tell(drawn):
    options = MeasureOptions(road_direction_deg=90.0)
    found = record(measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(2.5), options=options))
    seen = {rules.name: rows(found.rated(rules).cracks) for rules in RULES if rules is not None}
    kinds = {row[1] for row in seen["astm_d6433"]}
    assert kinds >= {"longitudinal", "transverse", "diagonal", "alligator"}
    assert len({json.dumps([row[1] for row in table]) for table in seen.values()}) >= 4
    assert len({row[2] for table in seen.values() for row in table}) >= 5


def test_records_of_older_versions_stay_as_they_were_rated():
    old = GroundRecord([SurveyCrack({"id": 1, "class": "transverse", "severity": "high"}, np.zeros((2, 2)))])
    assert GroundRecord.from_plain({k: v for k, v in old.to_plain().items() if k != "bases"}).bases is None
    assert old.rated(read_rules("ltpp")) is old
