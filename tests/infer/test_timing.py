"""Things timed side by side take turns."""

from fissura.infer.timing import time_in_turns


def test_calls_take_turns_and_the_first_round_does_not_count():
    said: list[str] = []
    seconds = time_in_turns({"a": lambda: said.append("a"), "b": lambda: said.append("b")}, 3)
    assert said == ["a", "b"] * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert all(value >= 0 for values in seconds.values() for value in values)
