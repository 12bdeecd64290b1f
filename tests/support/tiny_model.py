"""A tiny model with known behaviour for tests: finds dark lines, needs no torch and no training.

It keeps the contract of every exported file (see `fissura.spec`), so all engines load it like a real one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fissura.spec import ModelCard, TrainingSet

BLUR_RADIUS_PX = 7
GAIN = 40.0
CONTRAST_AT_HALF = 0.08
"""How much darker than its surroundings (0 to 1) a pixel is at probability one half."""


def make_tiny_onnx(path: Path, *, seed: int = 0, tile: int = 64, name: str = "tiny") -> ModelCard:
    """Write an ONNX file that calls a pixel a crack when it is darker than its surroundings.

    The response reaches `BLUR_RADIUS_PX` pixels, so tiled and whole results agree where tiles overlap by more.

    Args:
        path: File to write.
        seed: Varies the blur a little, for tests that need two different models.
        tile: Side of the input in pixels, a multiple of 32.
        name: Name in the card.
    Returns:
        The card stored in the file.
    """
    card = ModelCard(
        name=name, version="0", description="dark-line finder for tests", architecture="dark_lines", parameters=226,
        tile=tile, overlap=tile // 4, allowed_precisions=("fp32", "bf16", "int8"),
        training_sets=(TrainingSet(name="none", images=1, terms="CC0-1.0"),), strictest_terms="CC0-1.0",
        figures={"drawn/test F1": 0.5}, limits=("not trained",),
    )  # fmt: skip
    side = 2 * BLUR_RADIUS_PX + 1
    blur = np.random.default_rng(seed).uniform(0.98, 1.02, (1, 1, side, side))
    constants = {
        "grey_weights": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "blur_weights": (blur / blur.sum()).astype(np.float32),
        "pads": np.array([0, 0, BLUR_RADIUS_PX, BLUR_RADIUS_PX] * 2, np.int64),
        "half": np.array(CONTRAST_AT_HALF, np.float32),
        "gain": np.array(GAIN, np.float32),
        "one": np.array(1.0, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "grey_weights"], ["grey"]),
        helper.make_node("Pad", ["grey", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "blur_weights"], ["surroundings"]),
        helper.make_node("Sub", ["surroundings", "grey"], ["contrast"]),
        helper.make_node("Sub", ["contrast", "half"], ["excess"]),
        helper.make_node("Mul", ["excess", "gain"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["crack"]),
        helper.make_node("Sub", ["one", "crack"], ["background"]),
        helper.make_node("Concat", ["background", "crack"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "dark_lines",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, tile, tile])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2, tile, tile])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return card
