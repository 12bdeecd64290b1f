"""PatchGAN discriminator with spectral norm, for the adversarial training of an enhancer. Not part of any model file.

Papers: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
arXiv:1611.07004 (the patches); Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization", ICLR 2018,
arXiv:1802.05957. Written from the papers; widths 64, 128, 256 and 512 as in the GA-CFAE study.

Topology: 4x4 convolutions, stride 2, 2, 2, 1, 1, LeakyReLU 0.2 between; each number judges a patch of 70 px.
2,765,761 parameters; the study says 2.76 M.

Deviations: no norm of activations beside the spectral one; answers are logits (the loss has the sigmoid).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LEAST_SIDE_PX = 32


class PatchDiscriminator(nn.Module):
    """Whether a soft crack map belongs to an image.

    Args:
        width: Channels of the first layer; 64 in the study. Smaller is faster: the work grows with its square.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [4, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for index, (c_in, c_out) in enumerate(pairwise(widths)):
            stride = 2 if index < 3 else 1
            layers += [spectral_norm(nn.Conv2d(c_in, c_out, 4, stride, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1)))

    def forward(self, image: Tensor, soft_map: Tensor) -> Tensor:
        """Logits (B, 1, h, w), one for each patch; above 0 means "a true map of this image".

        Args:
            image: (B, 3, H, W), normalised; H and W at least 32.
            soft_map: (B, 1, H, W), 0 to 1.
        """
        return self.layers(torch.cat([image, soft_map], dim=1))
