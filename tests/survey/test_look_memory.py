"""What the network said is asked for once."""

import numpy as np
import pytest

from fissura.survey.look_memory import LookMemory


def never():
    raise AssertionError("the network was asked again")
    yield


def test_the_second_time_comes_from_disk_and_is_the_same(tmp_path):
    rng = np.random.default_rng(0)
    tiles = [rng.random((64, 64), np.float32) for _ in range(3)]
    memory = LookMemory(tmp_path)
    first = list(memory.recall(7, 3, 64, iter(tiles)))
    again = LookMemory(tmp_path)
    second = list(again.recall(7, 3, 64, never()))
    assert again.recalled == 1 and memory.recalled == 0
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert max(float(np.abs(a - b).max()) for a, b in zip(first, tiles, strict=True)) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("damage", [b"", b"\x89PNG half"])
def test_a_damaged_memory_is_made_anew(tmp_path, damage):
    (tmp_path / "00000007.png").write_bytes(damage)
    (found,) = LookMemory(tmp_path).recall(7, 1, 32, iter([np.ones((32, 32), np.float32)]))
    assert (found == 1).all()
    assert (tmp_path / "00000007.png").stat().st_size > len(damage)
