"""Tables of many pictures, made from their records."""

import weakref

import numpy as np

from fissura.measure_folder import Finished
from fissura.measure_frame import FrameRecord
from fissura.measure_notes import NoteCount
from fissura.measure_tables import gather_widths, write_tables


def record(k):
    found = FrameRecord(f"{k}.jpg", scaled=True, widths=[0.5, 0.5, 0.2 * k], lengths=[10.0, 20.0, 5.0],
                        below=[True, False, False])  # fmt: skip
    found.cracks = [{"id": 1, "length_m": 1.0 * k, "source_frame": found.source}]
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
    done = write_tables(folder, pictures, [], None)
    assert not done.failed
    assert [path.name for path in done.written] == ["cracks.csv", "summary.csv", "widths.png", "frames.csv"]
    assert len((tmp_path / "cracks.csv").read_text(encoding="utf-8-sig").splitlines()) == 41
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
