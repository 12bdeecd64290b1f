"""The list of networks people choose from: complete, honest about its counts, and measurable."""

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from fissura.cli.models import models
from fissura.errors import SettingsError
from fissura.export.network_speed import measure_speed
from fissura.nets import NETWORKS, build, build_enhancer
from fissura.nets.catalogue import CATALOGUE, NetworkEntry, deviations
from fissura.nets.ga_cfae import Enhanced
from fissura.nets.gmac import count_gmac

SMALL = NetworkEntry("unet", "a test", {"width": 2}, stated=7_900, remark="small")


def test_every_network_is_listed():
    assert {entry.architecture for entry in CATALOGUE} == set(NETWORKS)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.label)
def test_counts_are_within_one_per_cent_or_the_deviation_is_named(entry):
    if entry.deviation is not None and abs(entry.deviation) <= 0.01:
        return
    assert len(entry.remark) > 5
    assert entry.paper.startswith("ours") or deviations(entry.architecture), "and its header says what differs"


def test_deviations_come_whole_from_the_headers():
    assert deviations("hacnet")[0].startswith("none in the topology")
    texts = deviations("mobilenet_v3")
    assert len(texts) == 4
    assert "squeeze-and-excitation of the last two blocks" in texts[0]
    assert all("\n" not in text and text.endswith(".") for text in texts)


def test_figures_are_those_of_the_network():
    assert SMALL.parameters() == sum(p.numel() for p in build("unet", {"width": 2}).parameters())
    assert SMALL.gmac((64, 96)) == pytest.approx(count_gmac(build("unet", {"width": 2}), (64, 96)))
    assert SMALL.label == "unet width=2"
    assert SMALL.deviation == pytest.approx(SMALL.parameters() / 7_900 - 1)


def test_enhancers_cost_next_to_nothing():
    plain = build("unet", {"width": 2})
    for name in ("eem", "eem_lite", "darkening"):
        assert count_gmac(Enhanced(plain, build_enhancer({"name": name})), (512, 512)) < SMALL.gmac() + 0.06


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_speed_is_measured(engine):
    assert 0.01 < measure_speed(SMALL, 64, engine) < 10_000


@pytest.mark.parametrize(("tile", "engine", "message"), [(100, "torch", "multiple of 32"), (64, "tea", "engine 'tea'")])
def test_what_cannot_be_measured_is_named(tile, engine, message):
    with pytest.raises(SettingsError, match=message):
        measure_speed(SMALL, tile, engine)


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(models)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_command_lists_the_networks(command, monkeypatch):
    monkeypatch.setattr("fissura.nets.catalogue.CATALOGUE", (SMALL,))
    shown = command("--networks", "--size", "64")
    assert shown.exit_code == 0, shown.output
    assert "unet width=2" in shown.output
    assert "7,900" in shown.output
    assert "ms at 64²" in shown.output
    assert "1/1 networks" in shown.output, "progress"
    rows = json.loads(command("unet", "--networks", "--size", "64", "--json", "--quiet").output)
    assert rows[0]["parameters"] == SMALL.parameters()
    assert rows[0]["tile_ms"] > 0
    wrong = command("unet9", "--networks")
    assert wrong.exit_code == 2
    assert "there is no network 'unet9'; known: unet" in wrong.output


def test_command_without_torch_says_what_to_install(command, monkeypatch):
    for module in [m for m in sys.modules if m.startswith(("fissura.nets", "fissura.export"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = command("--networks")
    assert result.exit_code == 2
    assert "pip install 'fissura[train]'" in result.output
