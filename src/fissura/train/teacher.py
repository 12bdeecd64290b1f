"""A trained network that another one learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fissura.errors import SettingsError
from fissura.infer.backend import BackendOptions, load_backend
from fissura.infer.precision import choose_precision
from fissura.nets import build_model, load_state, normalise, read_weights

_SIDE_STEP = 32
"""Sides of what a network is shown: every network here halves its maps no more than five times."""

_SURE = 1e-4
"""Probabilities of a teacher in a group end this far from 0 and 1: no single one is surer than the others can mend."""


class Teacher:
    """A frozen network behind its own preprocessing. No module, so that it never enters a student's checkpoint.

    Args:
        weights: A .safetensors file with a model card.
        compiled: Compile it as the student is.
        magnifications: Sizes at which it looks, see `DistillConfig`; other sides than the crop's own are rounded to
            `_SIDE_STEP` pixels.
    Raises:
        ModelError: The file is no model of ours.
    """

    def __init__(self, weights: Path, *, compiled: bool = False, magnifications: Sequence[float] = (1.0,)) -> None:
        state, self.card = read_weights(weights)
        self.cards = (self.card,)
        self.net = build_model(self.card).to(memory_format=torch.channels_last)
        load_state(self.net, state, source=str(weights))
        self.net.eval().requires_grad_(False)
        self._magnifications = tuple(magnifications)
        # One graph for each size: a single one would be compiled again for sizes that vary.
        self._runs = [torch.compile(self.net, dynamic=False) if compiled else self.net for _ in self._magnifications]

    @torch.no_grad()
    def probability(self, images: Tensor) -> Tensor:
        """Probabilities (B, 1, H, W), float32, for images (B, 3, H, W) with values 0 to 1."""
        self.net.to(images.device)
        said = [self._say(run, images, m) for run, m in zip(self._runs, self._magnifications, strict=True)]
        return torch.stack(said).mean(dim=0)

    def _say(self, run: Callable[[Tensor], list[Tensor]], images: Tensor, magnification: float) -> Tensor:
        size, resized = images.shape[-2:], magnification != 1.0
        if resized:
            seen = [max(round(side * magnification / _SIDE_STEP), 1) * _SIDE_STEP for side in size]
            images = F.interpolate(images, seen, mode="bilinear", antialias=True)
        ready = normalise(images, self.card).contiguous(memory_format=torch.channels_last)
        probability = torch.sigmoid(run(ready)[-1].float())
        return F.interpolate(probability, size, mode="bilinear", antialias=True) if resized else probability


class EngineTeacher:
    """A shipped or exported model in an inference engine, which on a CPU takes a third to a half of the time.

    Args:
        graph: Its ONNX file; the int8 file beside it is taken where that is faster.
        engine: As of ``--engine``.
        tile: Side of the crops.
    Raises:
        SettingsError: Its tiles are of another size than the crops, or there is no graph.
        ModelError: The file is no model of ours.
    """

    def __init__(self, graph: Path, engine: str, *, tile: int) -> None:
        if not graph.is_file():
            raise SettingsError(
                f"distill: {engine} needs the teacher's graph {graph}; make it with 'fissura export', "
                "or leave engine out"
            )
        path, precision = choose_precision(graph, engine, None)
        options = BackendOptions(precision, threads=torch.get_num_threads(), in_flight=1)
        self._backend = load_backend(engine, path, options)
        self.card = self._backend.card
        self.cards = (self.card,)
        if self.card.tile != tile:
            raise SettingsError(
                f"distill: the teacher {self.card.name} takes tiles of {self.card.tile} and the crops are of {tile}; "
                f"give 'tile: {self.card.tile}', or leave engine out"
            )

    def probability(self, images: Tensor) -> Tensor:
        """Probabilities (B, 1, H, W), float32, for images (B, 3, H, W) with values 0 to 1 in steps of a 255th."""
        tiles = (images * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        said = list(self._backend.predict_tiles(np.ascontiguousarray(tile) for tile in tiles))
        return torch.from_numpy(np.stack(said)[:, None]).to(images.device)


class TeacherGroup:
    """Several teachers, of which the mean of the logits counts.

    Args:
        teachers: Two or more.
    """

    def __init__(self, teachers: Sequence[Teacher | EngineTeacher]) -> None:
        self._teachers = tuple(teachers)
        self.cards = tuple(teacher.card for teacher in teachers)

    def probability(self, images: Tensor) -> Tensor:
        """As `Teacher.probability`."""
        said = [torch.logit(teacher.probability(images), eps=_SURE) for teacher in self._teachers]
        return torch.sigmoid(torch.stack(said).mean(dim=0))


AnyTeacher = Teacher | EngineTeacher | TeacherGroup
