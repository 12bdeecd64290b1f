import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fissura.nets import build
from fissura.nets.enet import pool_with_places, unpool
from fissura.nets.layers import SegmentationNet, _Float32OnCpu, adaptive_average, conv, resize
from fissura.nets.resnet import ResNet


@pytest.mark.parametrize("size_hw", [(8, 8), (7, 5), (3, 3), (1, 2)], ids=str)
@pytest.mark.parametrize("grid_hw", [(8, 8), (4, 2), (1, 3)], ids=str)
def test_adaptive_average_is_torchs(size_hw, grid_hw):
    x = torch.randn(2, 3, *size_hw)
    torch.testing.assert_close(adaptive_average(x, grid_hw), F.adaptive_avg_pool2d(x, grid_hw))


def test_unpooling_is_torchs():
    x = torch.randperm(2 * 3 * 8 * 6, generator=torch.Generator().manual_seed(0)).reshape(2, 3, 8, 6) / 2
    values, places = pool_with_places(x)
    expected, indices = F.max_pool2d(x, 2, return_indices=True)
    torch.testing.assert_close(values, expected)
    other = torch.randn(2, 3, 4, 3)
    torch.testing.assert_close(unpool(other, places), F.max_unpool2d(other, indices, 2))


def test_rounding_cannot_move_a_maximum():
    cell = torch.tensor([[[[3.0, 3.0 + 1e-6], [2.0, 1.0]]]])
    other = cell + torch.tensor([[2e-6, 0.0], [0.0, 0.0]])
    one, two = (unpool(*pool_with_places(c)) for c in (cell, other))
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)
    torch.testing.assert_close(one, torch.tensor([[[[3.0, 3.0], [0.0, 0.0]]]]), atol=1e-3, rtol=0)


def test_no_gradient_through_the_places():
    x = torch.tensor([[[[3.0, 2.95], [2.0, 1.0]]]], requires_grad=True)
    values, places = pool_with_places(x)
    assert not places.requires_grad
    unpool(values, places).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[[[1.5, 0.0], [0.0, 0.0]]]]))


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 27), ((1, 5), 1, 1), ((3, 1), 2, 3), (1, 2, 1)])
def test_convolution_keeps_the_size(kernel, stride, dilation):
    layer = conv(2, 2, kernel, stride=stride, dilation=dilation)
    assert layer(torch.rand(1, 2, 9, 8)).shape[-2:] == (-(-9 // stride), -(-8 // stride))


@pytest.mark.parametrize("channels", [24, 40, 72])
def test_gradient_in_bf16_of_widths_that_break_onednn(channels):
    """Dilated, and between multiples of 16: NaN or a crash on CPUs with AVX-512 bf16, if not kept in float32."""
    layer = conv(channels, 8, 3, dilation=3).to(memory_format=torch.channels_last)
    x = torch.randn(2, channels, 32, 32).contiguous(memory_format=torch.channels_last)
    layer(x).square().sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    out.square().sum().backward()
    assert out.dtype == torch.float32
    torch.testing.assert_close(layer.weight.grad, expected)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("hacnet_v2", {"variant": "asymmetric", "width": 24}),
        ("hacnet_v2", {"variant": "unshuffled", "width": 48}),
        ("hacnet_v2_single", {"variant": "asymmetric", "width": 52}),
    ],
)
def test_no_dilated_layer_of_these_networks_can_break_onednn(architecture, options):
    """Not run: unguarded, such a layer may end the process."""
    layers = [m for m in build(architecture, options).modules() if isinstance(m, nn.Conv2d) and max(m.dilation) > 1]
    unsafe = [m for m in layers if m.groups == 1 and m.in_channels > 16 and m.in_channels % 16]
    assert unsafe and all(isinstance(m, _Float32OnCpu) for m in unsafe)


def test_other_widths_stay_in_bf16():
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(32, 8, 3, dilation=3)(torch.rand(1, 32, 8, 8)).dtype == torch.bfloat16
        assert conv(24, 8, 3)(torch.rand(1, 24, 8, 8)).dtype == torch.bfloat16


def test_resizing_has_pixel_centres_at_halves():
    x = torch.tensor([[[[0.0, 4.0]]]])
    torch.testing.assert_close(resize(x, (1, 4)), torch.tensor([[[[0.0, 1.0, 3.0, 4.0]]]]))
    assert resize(x, (1, 2)) is x


class _Echo(SegmentationNet):
    """Gives back what it sees, at an eighth of the size."""

    size_multiple = 8

    def logit_maps(self, x):
        self.seen = x
        return [F.avg_pool2d(x[:, :1], 8)]


def test_padding_repeats_the_border_and_is_cut_off():
    net = _Echo()
    image = torch.rand(1, 3, 9, 15)
    (out,) = net(image)
    assert out.shape == (1, 1, 9, 15)
    assert net.seen.shape == (1, 3, 16, 16)
    torch.testing.assert_close(net.seen[..., 9:, :15], image[..., 8:9, :].expand(-1, -1, 7, -1))


@pytest.mark.parametrize(("depth", "count"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)])
def test_trunk_counts(depth, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet(depth).parameters()) == count


@pytest.mark.parametrize(("stride", "sizes"), [(32, [24, 12, 6, 3]), (16, [24, 12, 6, 6])])
def test_trunk_sizes_and_channels(stride, sizes):
    trunk = ResNet(50, width=4, output_stride=stride).eval()
    maps = trunk(torch.rand(1, 3, 96, 96))
    assert [tuple(o.shape[1:]) for o in maps] == [(c, s, s) for c, s in zip(trunk.channels, sizes, strict=True)]
    assert all((o >= 0).all() for o in maps)
    assert all((o < 0).any() for o in trunk.totals(torch.rand(1, 3, 96, 96)))
