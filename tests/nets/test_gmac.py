import pytest
import torch
from torch import nn

from fissura.nets import build
from fissura.nets.gmac import count_gmac
from fissura.nets.resnet import ResNet


class _Known(nn.Module):
    """Layers whose work is counted by hand, for an input of 8 x 6."""

    def __init__(self):
        super().__init__()
        self.strided = nn.Conv2d(3, 4, 3, stride=2, padding=1)  # 4 x 3 cells · 4 · 3 · 9 = 1296
        self.grouped = nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=2)  # 4 x 3 · 8 · 2 · 3 = 576
        self.enlarging = nn.ConvTranspose2d(8, 5, 2, stride=2)  # 4 x 3 · 8 · 5 · 4 = 1920
        self.linear = nn.Linear(5, 7)  # 5 · 7 = 35

    def forward(self, x):
        return self.linear(self.enlarging(self.grouped(self.strided(x))).mean(dim=(2, 3)))


def test_every_kind_of_layer_by_hand():
    assert count_gmac(_Known(), (8, 6)) * 1e9 == pytest.approx(1296 + 576 + 1920 + 35)


@pytest.mark.parametrize(("depth", "gmac"), [(18, 1.81), (34, 3.66), (50, 4.09), (101, 7.80)])
def test_known_trunks(depth, gmac):
    with torch.device("meta"):
        assert count_gmac(ResNet(depth), (224, 224)) == pytest.approx(gmac, abs=0.01)


@pytest.mark.parametrize(
    ("architecture", "options", "gmac"),
    [
        ("hacnet_v2", {"variant": "unshuffled", "width": 32}, 11.3),
        ("hacnet_v2", {"variant": "published", "width": 32, "slips": True}, 58.1),
        ("hacnet_v2_single", {}, 11.1),
        ("hacnet", {}, 54.4),
        ("unet", {}, 192.7),
        ("bisenet_v1", {}, 12.6),
        ("bisenet_v2", {}, 12.2),
        ("stdc", {}, 8.4),
        ("swiftnet", {}, 12.9),
        ("enet", {}, 1.9),
        ("deeplab_v3_plus", {}, 69.1),
        ("hrnet", {}, 18.3),
        ("mobilenet_v3", {}, 1.2),
        ("ladder", {}, 0.64),
        ("ladder", {"widths": [16, 32, 64, 80, 96], "blocks": [1, 2, 2, 2, 2], "back": [1, 2, 2, 1], "patch": 2}, 3.76),
    ],
    ids=str,
)
def test_figures_in_the_headers(architecture, options, gmac):
    """At 512². HACNetV2 unshuffled is a fifth of the published one."""
    with torch.device("meta"):
        assert count_gmac(build(architecture, options), (512, 512)) == pytest.approx(gmac, abs=0.06)


@pytest.mark.parametrize(
    ("architecture", "options", "gmac"),
    [("swiftnet", {}, 104.0), ("mobilenet_v3", {}, 9.74), ("mobilenet_v3", {"head_width": 256}, 10.33)],
    ids=str,
)
def test_figures_in_the_papers(architecture, options, gmac):
    """At 1024 x 2048; the papers have 19 classes."""
    with torch.device("meta"):
        assert count_gmac(build(architecture, options), (1024, 2048)) == pytest.approx(gmac, rel=0.01)


def test_network_stays_as_it_was():
    net = build("hacnet", {"width": 6}).train()
    count_gmac(net, (16, 16))
    assert net.training
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    assert not any(module._forward_hooks for module in net.modules())
