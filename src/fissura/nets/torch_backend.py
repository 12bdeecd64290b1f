"""PyTorch as an engine for `fissura.infer`: the reference that the exported files are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from fissura.errors import ModelError
from fissura.infer.backend import BackendOptions
from fissura.nets import load_weights, normalise
from fissura.types import Probability, RgbImage


class TorchBackend:
    """A network with the weights of a safetensors file, on CUDA where it is there, else on the CPU.

    Args:
        path: The safetensors file, or an ONNX file that has it beside it under the same name.
        options: Threads; the precision is always fp32.
    Raises:
        ModelError: The file cannot be used, or there is none beside the ONNX file.
    """

    def __init__(self, path: Path, options: BackendOptions | None = None) -> None:
        weights = path.with_name(path.name.removesuffix(".onnx").removesuffix(".int8") + ".safetensors")
        if path.suffix == ".safetensors":
            weights = path
        if not weights.is_file():
            raise ModelError(f"engine torch needs the weights {weights}, which is not there; choose engine openvino")
        net, self.card = load_weights(weights)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._net = net.to(self._device)
        self.description = "torch fp32"
        if options is not None and options.threads is not None:
            torch.set_num_threads(options.threads)

    def predict_tiles(self, tiles: Iterable[RgbImage]) -> Iterator[Probability]:
        """See `fissura.infer.Backend`."""
        for tile in tiles:
            with torch.inference_mode():
                image = torch.from_numpy(np.array(tile)).to(self._device).permute(2, 0, 1)[None].float() / 255.0
                crack = torch.sigmoid(self._net(normalise(image, self.card))[-1][0, 0])
            probability: Probability = crack.cpu().numpy()
            yield probability
