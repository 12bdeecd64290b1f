"""A run's folder: whose it is, what is finished, and what a kill leaves."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from fissura.errors import SettingsError
from fissura.survey.run_folder import RunFolder


def folder(path, **settings):
    made = RunFolder(path / "run", {"scale": 1.5, **settings}, {"sources": ["a"]})
    made.open(overwrite=False)
    return made


def test_records_hold_for_the_same_settings_and_the_same_file_only(tmp_path):
    run = folder(tmp_path)
    run.commit(run.work("photos", "a.json"), [1, 2], {"found": 3})
    assert run.read_record(run.work("photos", "a.json"), [1, 2]) == {"found": 3}
    assert run.read_record(run.work("photos", "a.json"), [1, 3]) is None
    assert run.read_record(run.work("photos", "b.json"), [1, 2]) is None
    (tmp_path / "run" / "work" / "photos" / "a.json").write_text('{"settings": "')
    assert run.read_record(run.work("photos", "a.json"), [1, 2]) is None


def test_the_log_names_each_thing_once_and_survives_a_cut(tmp_path):
    run = folder(tmp_path)
    run.log("photo a", {"n": 1})
    run.log("photo a", {"n": 2})
    run.log("photo b", {"n": 3})
    path = tmp_path / "run" / "manifest.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key": "photo c", "n"')
    again = folder(tmp_path)
    again.log("photo b", {"n": 4})
    again.log("photo c", {"n": 5})
    assert [line["n"] for line in again.read_log()] == [1, 3, 5]


def test_names_with_rare_line_ends_do_not_damage_the_log(tmp_path):
    run = folder(tmp_path)
    run.log("photo a\u2028b\x85c", {"n": 1})
    assert [line["n"] for line in folder(tmp_path).read_log()] == [1]


def test_another_run_is_refused_and_nothing_is_touched(tmp_path):
    folder(tmp_path)
    before = (tmp_path / "run" / "settings.yaml").read_text()
    with pytest.raises(SettingsError, match=r"scale 1\.5 \(now 2\)"):
        folder(tmp_path, scale=2)
    assert (tmp_path / "run" / "settings.yaml").read_text() == before


def test_options_of_reporting_make_no_other_run(tmp_path):
    run = folder(tmp_path, rules="ltpp", section_length_m=100.0)
    look, ground = run.work("photos", "a.json"), run.work("grounds", "a.json")
    run.commit(look, [1], {"found": 3})
    run.commit(ground, [1], {"length": 5}, given={"least_confidence": None})
    again = folder(tmp_path, rules="own.yaml 1a2b", section_length_m=100.0)
    assert again.changed == ("rules",) and not again.is_older
    assert again.read_record(look, [1]) == {"found": 3}
    assert again.read_record(ground, [1], given={"least_confidence": None}) == {"length": 5}
    assert again.read_record(ground, [1], given={"least_confidence": 0.5}) is None
    assert again.has_other_record(ground, [1]) and not again.has_other_record(ground, [2])
    assert folder(tmp_path, rules="own.yaml 1a2b", section_length_m=100.0).changed == ()
    with pytest.raises(SettingsError, match=r"settings: scale 1\.5 \(now 2\); choose"):
        folder(tmp_path, rules="ltpp", scale=2)


def test_a_folder_of_an_older_version_goes_on(tmp_path):
    """All of its options were in the digest of every record, and that was not in ``settings.yaml``."""
    (tmp_path / "run" / "work").mkdir(parents=True)
    settings = {"scale": 1.5, "rules": "ltpp", "route": None, "least_confidence": None}
    content = {"fissura": "0.9", "command": "survey", "options": {"sources": ["a"]}, "settings": settings}
    (tmp_path / "run" / "settings.yaml").write_text(yaml.safe_dump(content))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    path = tmp_path / "run" / "work" / "a.json"
    path.write_text(json.dumps({"settings": digest, "stamp": [1], "content": {"found": 3}}) + "\n")

    def found(**other):
        run = folder(tmp_path, **settings | other)
        given = {"least_confidence": other.get("least_confidence")}
        measured = run.read_record(path, [1], given=given, began=("rules", "least_confidence"))
        return run.is_older, run.read_record(path, [1]) is not None, measured is not None

    assert found() == (True, True, True)
    assert found(rules="astm_d6433") == (True, True, False)
    assert found(route="axis.geojson 1a2b") == (True, True, True)
    assert found(least_confidence=0.5) == (True, True, False)
    assert found() == (True, True, True)


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "holiday.txt").write_text("keep")
    with pytest.raises(SettingsError, match="not from 'fissura survey'"):
        folder(tmp_path)
    (tmp_path / "run" / "settings.yaml").write_text("command: measure\nsettings: {}\n")
    with pytest.raises(SettingsError, match="another command"):
        folder(tmp_path)
    (tmp_path / "run" / "settings.yaml").write_text("[not, ours")
    with pytest.raises(SettingsError, match="cannot be read"):
        folder(tmp_path)


def test_overwriting_forgets_what_was_found(tmp_path):
    run = folder(tmp_path)
    run.commit(run.work("photos", "a.json"), [1], {"found": 3})
    run.log("photo a", {"n": 1})
    again = RunFolder(tmp_path / "run", {"scale": 2}, {"sources": ["a"]})
    again.open(overwrite=True)
    assert not (tmp_path / "run" / "work").exists() and again.read_log() == []


@pytest.mark.parametrize("name", ["", "masks", "masks/night", "labels/corrected", "manifest.jsonl"])
def test_what_the_user_gives_is_never_overwritten(tmp_path, name, monkeypatch):
    run = folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"--mask .* copy it"):
        run.check_given({"--route": None, "--mask": Path("run") / name})
    run.check_given({"--mask": Path("run/masks.old"), "--route": tmp_path / "axis.geojson", "--telemetry": None})


def test_a_damaged_log_is_said(tmp_path):
    folder(tmp_path).log("photo a", {"n": 1})
    (tmp_path / "run" / "manifest.jsonl").write_text(json.dumps([1]) + "\n")
    with pytest.raises(SettingsError, match="damaged"):
        folder(tmp_path)


def test_names_that_are_no_unicode_come_back(tmp_path):
    run, name = folder(tmp_path, mask="stra\udcdfe"), "Straße/stra\udcdfe.jpg"
    run.commit(run.work("photos", "a.json"), [name], {"source": name})
    run.log("photo a", {"source": name})
    again = folder(tmp_path, mask="stra\udcdfe")
    assert again.read_record(again.work("photos", "a.json"), [name]) == {"source": name}
    assert again.read_log()[0]["source"] == name
