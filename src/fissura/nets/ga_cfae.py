"""GA-CFAE: an enhancer in front of a network. EEM and EEMLite, published and corrected, and two controls.

Paper: Yao, Wen, Zhang, Chang and Fan, "GA-CFAE" (stage b of the stage-focused strategy); the block itself also stands
in EfficientCrackNet, arXiv:2409.18099. Written from the described topology; no code was taken over.

Body of both: B = Gaussian of the image x, L = Laplacian of B, both frozen; two 1x1 branches to one channel, one on
B - x and one on L, each activated and brought to mean 0 and variance 1 over the image; their product, 3x3 max pooling,
1x1 to three channels, activated, group norm: the edge response t. S is squeeze-and-excitation.

====================  ==========  ==========================================================
enhancer              trainable   the network sees
====================  ==========  ==========================================================
``eem``, corrected            57  x · (1 - α m), m = sigmoid(1x1 of PReLU(px + S(px) + t + S(t)))
``eem_lite``, corr.           31  x · (1 - α m), m = sigmoid(1x1 of (x + S(t)))
``eem``, published            52  PReLU(px + S(px) + t + S(t)), p a 1x1
``eem_lite``, publ.           26  sigmoid(x + S(t))
``darkening``                  1  x · (1 - α m), m = clip((local mean - grey) / (2 · local deviation), 0, 1)
``identity``                   0  x
====================  ==========  ==========================================================

α is ``alpha``: learnt from that value on, or fixed. Published counts: 56 and 30 with an attention 1x1 (4) that the
published file holds and its output never uses, for three channels out; 26 and 16 for one channel out.

The **controls**: ``darkening`` has the same output form and the same α, and a map that nothing learns: how much darker
a pixel is than its neighbourhood of 31 px, in the neighbourhood's own deviation. What EEM gains over ``none`` and
``darkening`` gains as well is a contrast trick. ``identity`` passes the image on bit for bit: it shows that
the wrapper itself does nothing.

What is corrected, each by name:

* The map m has a defined range and, in adversarial training, a defined target (the softened mask). The published
  output is compared with a mask as if it were one, while the network takes it for an image.
* Gaussian and Laplacian act on each channel alone, sum to 1 and 0, and the border is replicated. The published EEM's
  Gaussian sums over the channels to 2.7, so that B - x is no difference, and zero padding draws a frame.
* The squeeze has one hidden unit; with ReLU it is dead for good in about half of all fresh ones: LeakyReLU here.
* The branches start without a bias. B - x and L are small and about 0: a usual fresh bias lifts them wholly to one side
  of the activation, which then does nothing and has no gradient.
* The attention 1x1 is used: it gives m. Its bias starts at -2, so that training starts near the plain image.

The norms look at the whole image, so that a map depends on the tile: train and predict at one tile size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fissura.errors import ModelError
from fissura.nets.layers import global_average

EnhancerName = Literal["eem", "eem_lite", "darkening", "identity"]
Form = Literal["corrected", "published"]
ENHANCERS: tuple[EnhancerName, ...] = ("eem", "eem_lite", "darkening", "identity")

_GAUSSIAN = {3: (1.0, 2.0, 1.0), 5: (1.0, 4.0, 6.0, 4.0, 1.0)}
_LAPLACIAN = {
    3: ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
    5: ((0.0, 0.0, 1.0, 0.0, 0.0), (0.0, 1.0, 2.0, 1.0, 0.0), (1.0, 2.0, -16.0, 2.0, 1.0),
        (0.0, 1.0, 2.0, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0, 0.0)),
}  # fmt: skip
_START_OF_MAP = -2.0
_NEIGHBOURHOOD_PX = 31
_LEAST_DEVIATION = 0.01
"""Grey values 0 to 1: below it a plain wall's noise would count as contrast."""


@dataclass(frozen=True)
class EnhancerConfig:
    """Which enhancer.

    Args:
        name: See the table at the top of this file.
        form: ``corrected`` or, for ``eem`` and ``eem_lite``, ``published``.
        kernel: Side of Gaussian and Laplacian in pixels, 3 or 5. The controls have none.
        alpha: How dark a pixel of m = 1 becomes: 0 not at all, 1 black. Not in the published form.
        learn_alpha: Train it, starting there; it then lies between 0 and 1.
    """

    name: EnhancerName = "eem"
    form: Form = "corrected"
    kernel: int = 5
    alpha: float = 0.5
    learn_alpha: bool = True

    def __post_init__(self) -> None:
        if self.name not in ENHANCERS:
            raise ValueError(f"name is {self.name!r}; it must be one of {', '.join(ENHANCERS)}")
        if self.form not in ("corrected", "published"):
            raise ValueError(f"form is {self.form!r}; it must be 'corrected' or 'published'")
        if self.form == "published" and self.name in ("darkening", "identity"):
            raise ValueError(f"{self.name} is a control of ours and has no published form; leave form out")
        if self.kernel not in _GAUSSIAN:
            raise ValueError(f"kernel is {self.kernel}; it must be 3 or 5")
        if not 0.0 < self.alpha <= 1.0 or (self.learn_alpha and self.alpha == 1.0):
            raise ValueError(f"alpha is {self.alpha}; it must be above 0 and below 1 (1 with learn_alpha: false)")


def build_enhancer(options: Mapping[str, Any]) -> Enhancer:
    """An enhancer with fresh weights.

    Args:
        options: Fields of `EnhancerConfig`, as in the model card's ``enhancer``.
    Raises:
        ModelError: An option is unknown or makes no sense.
    """
    try:
        config = EnhancerConfig(**options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"enhancer: {error}") from error
    kinds: dict[tuple[str, str], type[Enhancer]] = {
        ("eem", "corrected"): EEM, ("eem_lite", "corrected"): EEMLite, ("eem", "published"): PublishedEEM,
        ("eem_lite", "published"): PublishedEEMLite, ("darkening", "corrected"): Darkening,
        ("identity", "corrected"): Identity,
    }  # fmt: skip
    return kinds[config.name, config.form](config)


class Enhancer(nn.Module, ABC):
    """Takes images (B, 3, H, W), RGB 0 to 1; gives images of the same shape and, if it has one, the map behind them."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Enhanced images (B, 3, H, W), and the map (B, 1, H, W) of values 0 to 1 or None."""


class MapEnhancer(Enhancer):
    """Darkens the image where a soft map says so: x · (1 - α m)."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__(config)
        start = torch.tensor(config.alpha)
        if config.learn_alpha:
            self.alpha_logit = nn.Parameter(torch.logit(start))
        else:
            self.register_buffer("fixed_alpha", start, persistent=False)

    @property
    def alpha(self) -> Tensor:
        """How dark a pixel of m = 1 becomes, 0 to 1."""
        return torch.sigmoid(self.alpha_logit) if self.config.learn_alpha else self.fixed_alpha

    @abstractmethod
    def soft_map(self, image: Tensor) -> Tensor:
        """The map m, (B, 1, H, W), float32, 0 to 1."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        m = self.soft_map(image)
        return image * (1.0 - self.alpha * m), m


class EEM(MapEnhancer):
    """Edge extraction module, corrected; see the top of this file."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__(config)
        self.filters = EdgeFilters(config.kernel)
        self.response = EdgeResponse(lambda c: nn.PReLU(c, init=0.05), lambda c: nn.PReLU(c, init=0.01))
        self.point = nn.Conv2d(3, 3, 1)
        self.gate_image, self.gate_edges = Squeeze(), Squeeze()
        self.activation = nn.PReLU(3, init=0.03)
        self.attention = _map_head()

    def soft_map(self, image: Tensor) -> Tensor:
        t, p = self.response(*self.filters(image)), self.point(image)
        out = self.activation(p + self.gate_image(p) + t + self.gate_edges(t))
        return torch.sigmoid(self.attention(out).float())


class EEMLite(MapEnhancer):
    """The lighter module, corrected; see the top of this file."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__(config)
        self.filters = EdgeFilters(config.kernel)
        self.response = EdgeResponse(_leaky, _leaky)
        self.gate_edges = Squeeze()
        self.attention = _map_head()

    def soft_map(self, image: Tensor) -> Tensor:
        out = image + self.gate_edges(self.response(*self.filters(image)))
        return torch.sigmoid(self.attention(out).float())


class PublishedEEM(Enhancer):
    """Edge extraction module as published, summing Gaussian and zero padding included."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__(config)
        self.filters = SummingFilters(config.kernel)
        self.response = EdgeResponse(lambda c: nn.PReLU(c, init=0.05), lambda c: nn.PReLU(c, init=0.01), centred=False)
        self.point = nn.Conv2d(3, 3, 1)
        self.gate_image, self.gate_edges = Squeeze(nn.ReLU), Squeeze(nn.ReLU)
        self.activation = nn.PReLU(3, init=0.03)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        t, p = self.response(*self.filters(image)), self.point(image)
        return self.activation(p + self.gate_image(p) + t + self.gate_edges(t)), None


class PublishedEEMLite(Enhancer):
    """The lighter module as published, zero padding included."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__(config)
        self.filters = EdgeFilters(config.kernel, border="constant")
        self.response = EdgeResponse(_leaky, _leaky, centred=False)
        self.gate_edges = Squeeze(nn.ReLU)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        return torch.sigmoid(image + self.gate_edges(self.response(*self.filters(image)))), None


class Darkening(MapEnhancer):
    """The control: darkens what is darker than its neighbourhood, by a rule that nothing learns.

    m = clip((mean - grey) / (2 max(deviation, 0.01)), 0, 1), grey the mean of R, G and B; mean and standard deviation
    over 31x31 pixels, at the border over those inside. So m = 1 two deviations below the mean.
    """

    def soft_map(self, image: Tensor) -> Tensor:
        grey = image.float().mean(dim=1, keepdim=True)
        mean, square = _local_mean(grey), _local_mean(grey.square())
        deviation = (square - mean.square()).clamp_min(_LEAST_DEVIATION**2).sqrt()
        return ((mean - grey) / (2.0 * deviation)).clamp(0.0, 1.0)


class Identity(Enhancer):
    """The control that does nothing."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        return image, None


class EdgeFilters(nn.Module):
    """Gaussian of every channel, and Laplacian of that; frozen. Gives (B - x, L)."""

    def __init__(self, kernel: int, border: Literal["replicate", "constant"] = "replicate") -> None:
        super().__init__()
        self.border = border
        row = torch.tensor(_GAUSSIAN[kernel])
        gaussian = row[:, None] * row[None, :]
        self.gaussian, self.laplacian = FrozenFilter(gaussian / gaussian.sum()), FrozenFilter(_LAPLACIAN[kernel])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        blurred = self.gaussian(image, self.border)
        return blurred - image, self.laplacian(blurred, self.border)


class SummingFilters(nn.Module):
    """The published EEM's: Gaussian (σ of kernel - 2, sum 0.9) and Laplacian (times 0.9) over all channels at once.

    The Gaussian's tails are cut here; the published file folds them back into the kernel.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        offsets = torch.arange(kernel) - kernel // 2
        row = torch.exp(-(offsets**2) / (2.0 * (kernel - 2) ** 2))
        gaussian = row[:, None] * row[None, :]
        self.gaussian = FrozenFilter(0.9 * gaussian / gaussian.sum())
        self.laplacian = FrozenFilter(0.9 * torch.tensor(_LAPLACIAN[3]))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        blurred = self.gaussian(image.sum(dim=1, keepdim=True), "constant").expand_as(image)
        edges = self.laplacian(blurred[:, :1] * image.shape[1], "constant").expand_as(image)
        return blurred - image, edges


class FrozenFilter(nn.Module):
    """One fixed kernel over every channel alone. The kernel is a constant of the code, not of the weights file."""

    kernel: Tensor

    def __init__(self, kernel: Tensor | Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.as_tensor(kernel).float()[None, None], persistent=False)

    def forward(self, x: Tensor, border: str) -> Tensor:
        B, C, H, W = x.shape
        reach = self.kernel.shape[-1] // 2
        padded = F.pad(x.reshape(B * C, 1, H, W), (reach,) * 4, mode=border)
        return F.conv2d(padded, self.kernel.to(x.dtype)).reshape(B, C, H, W)


class EdgeResponse(nn.Module):
    """From (B - x, L) to the edge response t of three channels."""

    def __init__(self, branch_activation: Any, activation: Any, *, centred: bool = True) -> None:
        super().__init__()
        self.difference = nn.Sequential(nn.Conv2d(3, 1, 1), branch_activation(1), nn.InstanceNorm2d(1))
        self.curvature = nn.Sequential(nn.Conv2d(3, 1, 1), branch_activation(1), nn.InstanceNorm2d(1))
        if centred:
            nn.init.zeros_(self.difference[0].bias)
            nn.init.zeros_(self.curvature[0].bias)
        self.widen = nn.Sequential(nn.Conv2d(1, 3, 1), activation(3), nn.GroupNorm(1, 3))

    def forward(self, difference: Tensor, curvature: Tensor) -> Tensor:
        product = self.difference(difference) * self.curvature(curvature)
        return self.widen(F.max_pool2d(product, 3, stride=1, padding=1))


class Squeeze(nn.Module):
    """Squeeze-and-excitation with one hidden unit: a gate for each of three channels from the means of all."""

    def __init__(self, activation: Any = None) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 1, 1, bias=False), nn.Conv2d(1, 3, 1, bias=False)
        self.activation = activation() if activation is not None else nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(self.activation(self.down(global_average(x)))))


class Enhanced(nn.Module):
    """A network behind an enhancer. Input and output are those of the network: normalised images in, logit maps out.

    Args:
        network: Any of `fissura.nets.NETWORKS`.
        enhancer: Works on values 0 to 1, so that "darker" means nearer to black.
        mean: Of the normalisation (`ModelCard.mean`), undone in front of the enhancer and done again after it.
        std: Likewise.
    """

    def __init__(
        self,
        network: nn.Module,
        enhancer: Enhancer,
        *,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
    ) -> None:
        super().__init__()
        self.network, self.enhancer = network, enhancer
        # The card is the one place that defines them, so they are not stored with the weights.
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std)).view(1, 3, 1, 1), persistent=False)

    def enhance(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Normalised images (B, 3, H, W) as the network gets to see them, and the enhancer's map or None."""
        image = x * self.std + self.mean
        enhanced, soft_map = self.enhancer(image)
        # As a change of x, so that an enhancer that does nothing leaves x as it is, to the last bit.
        return x + (enhanced - image) / self.std, soft_map

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network(self.enhance(x)[0])


def body_of(net: nn.Module) -> nn.Module:
    """The network itself, without an enhancer in front of it."""
    return net.network if isinstance(net, Enhanced) else net


def _leaky(channels: int) -> nn.Module:
    return nn.LeakyReLU(0.2)


def _map_head() -> nn.Conv2d:
    head = nn.Conv2d(3, 1, 1)
    nn.init.constant_(head.bias, _START_OF_MAP)
    return head


def _local_mean(x: Tensor) -> Tensor:
    """Mean over the square neighbourhood, at the border over the pixels inside: (B, 1, H, W) to the same."""
    for side in ((_NEIGHBOURHOOD_PX, 1), (1, _NEIGHBOURHOOD_PX)):
        padding = (side[0] // 2, side[1] // 2)
        x = F.avg_pool2d(x, side, stride=1, padding=padding, count_include_pad=False)
    return x
