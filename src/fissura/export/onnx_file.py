"""The ONNX file: graph, normalisation and card in one.

Input ``image`` float32 (1, 3, T, T), RGB 0 to 1; output ``probabilities`` float32 (1, 2, T, T), [1 - p, p]. That
is what two GIS tools ask of a segmentation model (read in their sources in November 2026; facts, no code):

- *Deepness* (QGIS; devel branch): divides uint8 by 255, standardises, runs ONNX Runtime, sets values below
  ``seg_thresh`` to 0 and takes the argmax over channels; before its issue 149 it also clipped to 0 to 1. A median
  blur follows whose size comes from ``seg_small_segment``; 0 turns it off. All metadata are parsed as JSON,
  ``class_names`` as an object with the keys "0", "1". The tile's side is read as ``tile_size``, while its
  documentation says ``tiles_size``: the card writes both.
- *GeoDeep* (AGPL): divides by 255, takes the argmax of the first output and sieves pieces smaller than
  ``seg_small_segment`` (11 if absent). It reads ``model_type``, ``class_names``, ``resolution`` (cm per pixel),
  ``tiles_overlap`` (percent), ``seg_thresh``; the tile's side comes from the input's shape.

So with two channels that sum to one a pixel is crack where p > 0.5, in both tools and in ours. A threshold above
one half works in Deepness as well; one below cannot, since the argmax then decides.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from fissura.errors import OutputError
from fissura.nets import LARGE, normalise
from fissura.spec import ModelCard

OPSET = 18
IR_VERSION = 8
"""Opset 18 with IR 8 is read by ONNX Runtime from 1.14 (early 2023) on."""

_HALF = ".half"
"""Ends the names of weights in half precision."""
_EXACT = 1e-6
"""Relative: a batch normalisation that does nothing multiplies with 1, give or take the last bit."""


class _WithContract(nn.Module):
    """Image 0 to 1 in, [1 - p, p] of the fused head out."""

    def __init__(self, net: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.net, self.card = net, card

    def forward(self, image: Tensor) -> Tensor:
        crack = torch.sigmoid(self.net(normalise(image, self.card))[-1])
        return torch.cat([1.0 - crack, crack], dim=1)


def export_onnx(net: nn.Module, card: ModelCard, path: Path) -> None:
    """Write a network as one self-contained ONNX file.

    Args:
        net: Gives a list of logit maps (B, 1, H, W), the fused one last, at the input's size.
        card: Its card; tile size and normalisation are taken from it, and it is stored in the file.
        path: File to write; replaced in one step.
    Raises:
        OutputError: The file cannot be written.
    """
    net = net.cpu().eval()
    image = torch.rand(1, 3, card.tile, card.tile)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _WithContract(net, card).eval(), (image,), dynamo=True, verbose=False, opset_version=OPSET,
                input_names=["image"], output_names=["probabilities"],
            )  # fmt: skip
    finally:
        exporter_log.setLevel(level)
    assert program is not None
    model = program.model_proto
    # The exporter notes stack traces with this machine's paths in every node, larger than the weights.
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    if card.weights_bits == 16:
        halve_weights(model)
    save_model(model, card, path)


def halve_weights(model: onnx.ModelProto) -> None:
    """Keep large weights that half precision holds without loss in it; the graph makes them single before it computes.

    Weights that the exporter has multiplied with a batch normalisation stay as they are: rounded, they would no longer
    be those of the safetensors file.
    """
    casts = []
    for weights in model.graph.initializer:
        if weights.data_type != onnx.TensorProto.FLOAT or math.prod(weights.dims) < LARGE:
            continue
        single = onnx.numpy_helper.to_array(weights)
        rounded = single.astype(np.float16)
        if not np.allclose(rounded.astype(np.float32), single, rtol=_EXACT, atol=0.0):
            continue
        name = weights.name
        weights.CopyFrom(onnx.numpy_helper.from_array(rounded, f"{name}{_HALF}"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}{_HALF}"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def whole_weights(model: onnx.ModelProto) -> None:
    """Undo `halve_weights`: tools that look for weights, quantisation among them, find them."""
    halves = {weights.name: weights for weights in model.graph.initializer if weights.name.endswith(_HALF)}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            weights = halves[node.input[0]]
            single = onnx.numpy_helper.to_array(weights).astype(np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(single, node.output[0]))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def save_model(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    """Check a graph, put the card in and write it in one step. Raises OutputError."""
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(model.SerializeToString())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place with --out") from error
