"""Tables of many pictures, made from their records."""

import csv
import weakref

import numpy as np

from fissura.geo.scale import GroundScale
from fissura.measure.measuring import measure_cracks
from fissura.measure_folder import Finished
from fissura.measure_frame import FrameRecord
from fissura.measure_notes import NoteCount
from fissura.measure_profiles import crack_rows, plain_profiles, profile_columns, profile_rows, whole_rows
from fissura.measure_tables import gather_widths, write_tables
from support.drawn import draw_cracks, straight


def record(k):
    found = FrameRecord(f"{k}.jpg", scaled=True, widths=[0.5, 0.5, 0.2 * k], lengths=[10.0, 20.0, 5.0],
                        below=[True, False, False])  # fmt: skip
    found.cracks = [{"id": 1, "crack_id": 1, "length_m": 1.0 * k, "width_max_mm": 2.5, "source_frame": found.source}]
    found.profiles = [[[0.25 * k, 10.0, 20.0, 2.0, 0.1, 0, 0], [0.75 * k, 10.0, 40.0, 2.5, 0.1, 1, 1]]]
    found.widest = [1]
    found.summary = [{"source_frame": found.source, "length_m": 1.0 * k}]
    found.totals = {"length": 1.0 * k, "left_out": 0, "area": 0.0, "inspected_m2": 2.0, "cracks": 1}
    return found


class Folder:
    """Counts the records that are in memory at once."""

    def __init__(self, out):
        self.out, self.alive, self.most = out, 0, 0

    def read(self, name):
        found = record(int(name))
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(found, self.forget)
        return found

    def forget(self):
        self.alive -= 1


def test_one_record_at_a_time_is_in_memory(tmp_path):
    folder = Folder(tmp_path)
    pictures = [Finished.of(str(k), record(k)) for k in range(40)]
    done = write_tables(folder, pictures, [], None, profiles=True)
    assert not done.failed
    assert [path.name for path in done.written] == [
        "cracks.csv", "whole_cracks.csv", "profiles.csv", "summary.csv", "widths.png", "frames.csv",
    ]  # fmt: skip
    for name, count in (("cracks.csv", 40), ("whole_cracks.csv", 40), ("profiles.csv", 80)):
        assert len((tmp_path / name).read_text(encoding="utf-8-sig").splitlines()) == 1 + count
    assert folder.most <= 3


def test_equal_widths_are_put_together_where_there_are_many():
    records = [record(k) for k in range(50)]
    every, few = gather_widths(records), gather_widths(records, most=20)
    assert len(few[0]) < len(every[0]) / 2
    assert few[1].sum() == every[1].sum()
    for seen in (True, False):
        for width in np.unique(every[0]):
            sums = [length[(widths == width) & (below == seen)].sum() for widths, length, below in (every, few)]
            assert sums[0] == sums[1]


def test_notes_that_differ_in_numbers_are_one():
    notes = NoteCount()
    assert notes.add_new(["height of 12.3 m", "no place"]) == ["height of 12.3 m", "no place"]
    assert notes.add_new(["height of -4 m", "other"]) == ["other"]
    first, second = record(1), record(2)
    first.notes, second.notes = ["height of 12.3 m", "no place"], ["height of -4 m"]
    assert notes.describe([Finished.of("1", first), Finished.of("2", second)]) == [
        "2 of 2 pictures (1.jpg, 2.jpg): height of 12.3 m"
    ]


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_crack_number_in_two_pictures_is_two_cracks(tmp_path):
    pictures = [Finished.of(str(k), record(k)) for k in (1, 2)]
    write_tables(Folder(tmp_path), pictures, [], None, profiles=True)
    tables = [rows(tmp_path / name) for name in ("cracks.csv", "whole_cracks.csv", "profiles.csv")]
    assert [[row["crack_key"] for row in table] for table in tables] == [
        ["1.jpg:1", "2.jpg:1"], ["1.jpg:1", "2.jpg:1"], ["1.jpg:1", "1.jpg:1", "2.jpg:1", "2.jpg:1"],
    ]  # fmt: skip
    cracks, whole, along = tables
    for row in (cracks[1], whole[1]):
        assert (row["widest_column_px"], row["widest_row_px"]) == ("10", "40")
    assert [row["along_m"] for row in along] == ["0.25", "0.75", "0.5", "1.5"]
    assert [row["length_m"] for row in along] == ["0.5", "0.5", "1", "1"]
    assert [(row["width_from"], row["below_gsd"]) for row in along[:2]] == [("grey", "false"), ("mask", "true")]


def test_profiles_are_written_only_where_asked_for_and_go_when_they_are_no_longer_true(tmp_path):
    pictures = [Finished.of("1", record(1))]
    write_tables(Folder(tmp_path), pictures, [], None, profiles=True)
    assert (tmp_path / "profiles.csv").is_file()
    write_tables(Folder(tmp_path), pictures, [], None)
    assert not (tmp_path / "profiles.csv").exists()


def test_a_record_of_an_older_fissura_has_its_cracks_in_the_tables_all_the_same(tmp_path):
    old = record(3)
    old.profiles, old.widest = [], []
    assert not Finished.of("3", old).profiled and Finished.of("3", record(3)).profiled
    (row,) = crack_rows(old.source, old.cracks, old.profiles, old.widest)
    assert row["crack_key"] == "3.jpg:1" and row["widest_column_px"] is None
    (whole,) = whole_rows([row], ())
    assert (whole["crack_key"], whole["length_m"], whole["widest_row_px"]) == ("3.jpg:1", 3.0, None)
    assert list(profile_rows(old.source, old.cracks, old.profiles)) == []


def test_pictures_with_and_without_a_scale_have_columns_of_their_own():
    assert profile_columns(units=[True, False], placed=False)[4:12] == (
        "along_m", "length_m", "width_mm", "width_sigma_mm", "along_px", "length_px", "width_px", "width_sigma_px",
    )  # fmt: skip
    assert profile_columns(units=[False], placed=True)[4] == "along_px"
    assert profile_columns(units=[True], placed=True)[-2:] == ("longitude_deg", "latitude_deg")


def test_profiles_stand_in_the_order_of_the_cracks():
    lines = [straight((row, 20.0), (row, 20.0 + 90 * k), 2.0 + 2 * k) for k, row in ((1, 30.0), (2, 70.0), (3, 110.0))]
    drawn = draw_cracks(*zip(*lines, strict=True), (150, 320))
    found = measure_cracks(drawn.mask, rgb=drawn.rgb, scale=GroundScale.uniform(2.0))
    assert list(found.order) != sorted(found.order)
    profiles, widest = plain_profiles(found, None)
    for crack, profile, k in zip(found.cracks, profiles, widest, strict=True):
        assert profile[k][3] == round(crack.width_max, 3) == max(row[3] for row in profile)
        assert all(len(row) == 7 for row in profile)
