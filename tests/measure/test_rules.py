import math

import pytest
from tests.measure.hand_made import crack

from fissura.errors import GeometryError, SettingsError
from fissura.measure.rules import KINDS, RuleSet, read_rules, rule_names, severity_names

MINE = """\
name: mine
title: My rules
source: {document: own, verified: true}
surface: asphalt
unit: mm
width_statistic: max
minimum: {width_mm: 2, length_mm: 50}
levels:
  longitudinal:
    - {name: fine, below_mm: 4}
    - {name: wide}
zones:
  - {name: left, to_m: 0}
  - {name: right}
"""


@pytest.fixture
def mine(tmp_path):
    def write(*changes):
        text = MINE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_shipped_sets():
    assert rule_names() == ("aashto_r85", "astm_d6433", "ltpp", "mbei_concrete", "mbei_prestressed")
    for name in rule_names():
        rules = read_rules(name)
        assert rules.name == name
        assert rules.source.document
        assert rules.source.verified or rules.source.checked  # says what it was compared with
        assert rules.limits


@pytest.mark.parametrize("name", ["astm_d6433", "ltpp"])
def test_pattern_severity_is_called_a_proxy(name):
    assert "stand-in" in read_rules(name).proxies["alligator"]


@pytest.mark.parametrize(
    ("name", "kind", "width_mm", "level"),
    [
        ("astm_d6433", "transverse", 0.0, "low"),
        ("astm_d6433", "transverse", 9.99, "low"),
        ("astm_d6433", "transverse", 10.0, "medium"),
        ("astm_d6433", "longitudinal", 75.0, "medium"),
        ("astm_d6433", "diagonal", 75.01, "high"),
        ("astm_d6433", "alligator", 2.99, "low"),
        ("astm_d6433", "alligator", 3.0, "medium"),
        ("astm_d6433", "alligator", 10.01, "high"),
        ("ltpp", "longitudinal", 6.0, "low"),
        ("ltpp", "longitudinal", 6.01, "moderate"),
        ("ltpp", "transverse", 19.0, "moderate"),
        ("ltpp", "other", 19.01, "high"),
        ("mbei_concrete", "other", 0.3047, "CS1"),
        ("mbei_concrete", "other", 0.012 * 25.4, "CS2"),
        ("mbei_concrete", "other", 0.05 * 25.4, "CS2"),
        ("mbei_concrete", "diagonal", 1.28, "CS3"),
        ("mbei_prestressed", "other", 0.10, "CS1"),
        ("mbei_prestressed", "other", 0.2286, "CS2"),
        ("mbei_prestressed", "other", 0.23, "CS3"),
        ("aashto_r85", "transverse", 12.0, ""),
        ("ltpp", "transverse", math.nan, ""),
        ("ltpp", "transverse", math.inf, "high"),
    ],
)
def test_severity_at_each_edge(name, kind, width_mm, level):
    assert read_rules(name).severity(kind, width_mm) == level


def test_smallest_crack():
    rules = read_rules("aashto_r85")
    assert rules.counts(1.0, 25.0)
    assert not rules.counts(0.99, 25.0)
    assert not rules.counts(1.0, 24.9)
    assert rules.counts(math.nan, 25.0)
    assert read_rules("ltpp").counts(0.0, 0.0)


def test_zones_of_r85_are_symmetric():
    rules = read_rules("aashto_r85")
    borders = [zone.to_m for zone in rules.zones[:-1]]
    assert borders == [-border for border in reversed(borders)] == [-1.375, -0.375, 0.375, 1.375]
    assert "transverse" not in rules.zoned_kinds


def test_own_rules(mine):
    rules = read_rules(mine())
    assert isinstance(rules, RuleSet)
    assert rules.severity("longitudinal", 3.9) == "fine"
    assert rules.severity("transverse", 3.9) == ""
    assert rules.width_of(crack([[0, 0], [0, 9]], width_mean=1.0, width_max=5.0)) == 5.0


def test_severity_refuses_nonsense():
    with pytest.raises(SettingsError, match=r"no kind of crack 'lateral'.*longitudinal"):
        read_rules("ltpp").severity("lateral", 3.0)
    with pytest.raises(GeometryError, match="-1 mm"):
        read_rules("ltpp").severity("other", -1.0)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("surface:", "surfase:", r"surfase: .*did you mean surface\?"),
        ("  longitudinal:", "  longitudnal:", r"levels\.longitudnal: .*did you mean longitudinal\?"),
        ("below_mm: 4", "belov_mm: 4", r"levels\.longitudinal\.0\.belov_mm: .*did you mean below_mm\?"),
        ("below_mm: 4", "below_mm: -4", r"levels\.longitudinal\.0\.below_mm: .*greater than 0"),
        ("below_mm: 4", "below_mm: wide", r"levels\.longitudinal\.0\.below_mm: .*number"),
        ("below_mm: 4", "below_mm: .nan", r"levels\.longitudinal\.0\.below_mm: .*finite"),
        ("below_mm: 4", "below_mm: 4, up_to_mm: 4", r"levels\.longitudinal\.0: .*both"),
        ("{name: wide}", "{name: wide, up_to_mm: 3}", r"levels\.longitudinal: .*'wide' \(up to 3 mm\) must reach"),
        ("{name: wide}", "{name: wide, up_to_mm: 9}", r"levels\.longitudinal: the last level, 'wide'"),
        ("{name: fine, below_mm: 4}", "{name: fine}", r"levels\.longitudinal: .*must reach further"),
        ("name: wide", "name: fine", r"levels\.longitudinal: two levels"),
        ("unit: mm", "unit: furlong", r"unit: .*'mm'.*furlong"),
        ("unit: mm\n", "", r"unit: Field required"),
        ("surface: asphalt", "surface: grass", r"surface: .*'asphalt'"),
        ("width_statistic: max", "width_statistic: maximum", r"width_statistic: .*'max'"),
        ("minimum: {width_mm: 2", "minimum: {width_mm: -2", r"minimum\.width_mm: .*greater"),
        ("to_m: 0}", "to_m: 0}\n  - {name: middle, to_m: -1}", r"zones: to_m must grow"),
        ("{name: left, to_m: 0}", "{name: left}", r"zones: only the last zone"),
        ("{name: right}", "{name: right, to_m: 1}", r"zones: the last zone"),
        ("name: right", "name: left", r"zones: two zones"),
        ("zones:", "angles: {longitudinal_up_to_deg: 70}\nzones:", r"angles: longitudinal_up_to_deg \(70\)"),
        ("zones:", "zoned_kinds: [sideways]\nzones:", r"zoned_kinds\.0: "),
        ("unit: mm", "unit: mm\nunit: mm", r"'unit' appears twice"),
        ("levels:", "levels: [", r"is no YAML"),
    ],
)
def test_errors_name_the_file_and_the_field(mine, old, new, field):
    with pytest.raises(SettingsError, match=field) as caught:
        read_rules(mine((old, new)))
    assert "mine.yaml" in str(caught.value)


def test_several_slips_are_all_named(mine):
    with pytest.raises(SettingsError) as caught:
        read_rules(mine(("unit: mm", "unit: m"), ("surface: asphalt", "surface: sand")))
    assert "\n  unit: " in str(caught.value)
    assert "\n  surface: " in str(caught.value)


def test_no_such_rules(tmp_path):
    with pytest.raises(SettingsError, match=r"no rules 'astm'.*astm_d6433, ltpp"):
        read_rules("astm")
    with pytest.raises(SettingsError, match="no rules"):
        read_rules(tmp_path)
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(SettingsError, match="keys and values"):
        read_rules(tmp_path / "list.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_rules(tmp_path / "latin.yaml")


def test_every_kind_has_a_place():
    assert KINDS == ("longitudinal", "transverse", "diagonal", "alligator", "other")


def test_severities_from_the_mildest_to_the_worst(mine):
    assert severity_names(None) == ()
    assert severity_names(read_rules("ltpp")) == ("low", "moderate", "high")
    assert severity_names(read_rules("mbei_concrete")) == ("CS1", "CS2", "CS3")
    # What is the third step of one kind is no milder because another kind has two.
    more = (
        "    - {name: wide}\n  other:\n"
        "    - {name: fine, up_to_mm: 1}\n    - {name: open, up_to_mm: 9}\n    - {name: wide}\n"
    )
    assert severity_names(read_rules(mine(("    - {name: wide}\n", more)))) == ("fine", "open", "wide")
