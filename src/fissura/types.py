"""Array aliases. Shapes are (row, column) = (H, W); colour images are (H, W, 3) in RGB order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
"""Shape (H, W, 3), RGB, 0 to 255."""

BoolMask = npt.NDArray[np.bool_]
"""Shape (H, W). In a crack mask True is crack; in a validity mask True is image content."""

Probability = npt.NDArray[np.float32]
"""Shape (H, W), crack probability 0 to 1."""

FloatArray = npt.NDArray[np.floating[Any]]
