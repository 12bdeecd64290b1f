"""Look at ground: from a frame with a known pose to crack probabilities on the canvas, only where that is new."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from fissura.geo.homography import transform
from fissura.infer.segmenter import Segmenter
from fissura.road import Road, RoadSlice, RoadSlices, find_road, plan_slices
from fissura.survey.backdrop import Backdrop
from fissura.survey.ground import CELL_PX, GroundCanvas
from fissura.survey.look_memory import LookMemory
from fissura.survey.look_scales import fill_gaps, raise_faint
from fissura.survey.photo_pose import footprint
from fissura.survey.pose import FramePose, Lens, Matrix, depth, ground_pixel_size, least_depth
from fissura.types import BoolMask, Probability, RgbImage

BETTER = 1.3
"""Ground is looked at again when it is seen this much better: closer, or sharper."""
_RIM_PX = 24
"""Within so many frame pixels of its border a frame sees half: the rest of a crack is missing. Seen, but not well."""
_RIM_QUALITY = 0.6
_CELLS_WIDE = 480
_TRUSTED = 0.2
"""Blend weight from which a slice is trusted alone: that of half an overlap from two of its sides, less rounding."""
_ON_ROAD = 0.9
"""Of a cell's share of the road and the cells beside it, between cells: kept is what lies up to 0.6 cells beyond the
road's mask, which ends a little inside the road. A whole cell would be too much: a verge's edge is a dark line."""
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_OBLIQUE = math.radians(4.0)


@dataclass(frozen=True)
class Look:
    """What one look gave.

    Attributes:
        slices: Cut and segmented.
        road_share: Of the frame, 0 to 1.
        road_found: Whether a road was found; without one the whole frame counts.
        direction_deg: Of the road in the frame, 0 to 180, counter-clockwise from the right; None without.
        new_px: Ground pixels that were new, or seen better than before.
    """

    slices: int
    road_share: float
    road_found: bool
    direction_deg: float | None
    new_px: int


_BLOCK_PX = 120


def quieten(rgb: RgbImage, road: Road) -> RgbImage:
    """The frame with everything beside the road in the road's own colour.

    What the network sees beside a crack decides with it: twigs and their shadows at the edge of a road cost a tenth
    of the length found on real frames (docs/LOG.md). The change is soft, over a cell or two, so that it is no edge.

    Args:
        rgb: Shape (H, W, 3).
        road: Found in it.
    """
    height, width = rgb.shape[:2]
    step = max(1, width // 480)
    some = rgb[::step, ::step]
    inside = cv2.resize(road.mask.view(np.uint8), (some.shape[1], some.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    if not inside.any():
        return rgb
    colour = np.median(some[inside], axis=0).astype(np.uint8)
    wide = cv2.dilate(road.mask.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    soft = cv2.resize(cv2.blur(wide, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)
    # Most blocks are all road or all verge: only the others have to be blended.
    out = rgb.copy()
    for top in range(0, height, _BLOCK_PX):
        for left in range(0, width, _BLOCK_PX):
            block = slice(top, top + _BLOCK_PX), slice(left, left + _BLOCK_PX)
            share = soft[block]
            low, high = cv2.minMaxLoc(share)[:2]
            if high == 0.0:
                out[block] = colour
            elif low < 1.0:
                plain = np.full_like(out[block], colour)
                out[block] = cv2.blendLinear(np.ascontiguousarray(rgb[block]), plain, share, 1.0 - share)
    return out


@dataclass
class GroundLooker:
    """Finds the road in frames, and segments what is new of it.

    Args:
        canvas: Where probabilities go.
        segmenter: The network.
        lens: Of the frames.
        scale: Enlargement of slices: network pixels per frame pixel.
        whole_frame: Look at all ground, road or not.
        backdrop: Where whole frames go, small.
        memory: Keeps what the network said, for a run that goes on.
        coarse_scale: Of a second, coarser look (`plan_look_scales`); None for a single one.
        odds: Of the finer look, see `faint_odds`.
    """

    canvas: GroundCanvas
    segmenter: Segmenter
    lens: Lens
    scale: float = 1.0
    whole_frame: bool = False
    backdrop: Backdrop | None = None
    memory: LookMemory | None = None
    coarse_scale: float | None = None
    odds: float = 1.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _before: tuple[Road, Matrix] | None = None

    def look(self, rgb: RgbImage, pose: FramePose, quality: float, *, index: int | None = None) -> Look:
        """Segment what is new in a frame.

        Args:
            rgb: The frame, shape (H, W, 3).
            pose: Where it looks.
            quality: Sharpness of the frame, 1 for a usual one of this flight.
            index: Number of the frame, under which its result is remembered.
        """
        ground = pose.ground_from_frame(self.lens)
        start = time.perf_counter()
        if self.backdrop is not None:
            self.backdrop.paste(rgb, ground)
        self.seconds["backdrop"] += time.perf_counter() - start
        start = time.perf_counter()
        road = self._road(rgb, ground)
        self.seconds["road"] += time.perf_counter() - start
        start = time.perf_counter()
        wanted = self._wanted(road, ground, quality)
        share = float(road.mask.mean())
        self.seconds["plan"] += time.perf_counter() - start
        if not wanted.any():
            return Look(0, share, road.found, road.direction_deg, 0)
        card = self.segmenter.card
        # Beyond a few degrees a square of the frame is no square of ground: slices are then planned on the ground.
        oblique = math.hypot(pose.tilt_x, pose.tilt_y) > _OBLIQUE
        scales = [self.scale] if self.coarse_scale is None else [self.scale, self.coarse_scale]
        plans = [
            plan_slices(
                road, tile=card.tile, overlap=card.overlap, scale=scale, wanted=wanted,
                ground=ground if oblique else None,
            )
            for scale in scales
        ]  # fmt: skip
        if not all(len(plan) for plan in plans):
            return Look(0, share, road.found, road.direction_deg, 0)
        new = self._segment(rgb, road, plans, pose, quality, index)
        return Look(sum(len(plan) for plan in plans), share, road.found, road.direction_deg, new)

    def _road(self, rgb: RgbImage, ground: Matrix) -> Road:
        """The road in a frame; the one of the look before, carried along, steadies what is uncertain."""
        H, W = self.lens.size_hw
        if self.whole_frame:
            return Road.none((max(H * _CELLS_WIDE // W, 1), _CELLS_WIDE), (H, W))
        prior = None
        if self._before is not None:
            road, matrix = self._before
            prior = road.moved(np.linalg.inv(ground) @ matrix)
        road = find_road(rgb, prior=prior)
        self._before = (road, ground) if road.found else None
        return road

    def _wanted(self, road: Road, ground: Matrix, quality: float) -> BoolMask:
        """Road that was not seen yet, or only much worse, at the resolution of the road's mask."""
        h, w = road.mask.shape
        H, W = self.lens.size_hw
        rows, columns = np.nonzero(road.mask if road.found else np.ones_like(road.mask))
        frame_xy = np.column_stack([(columns + 0.5) * W / w - 0.5, (rows + 0.5) * H / h - 0.5])
        near = depth(ground, frame_xy) >= least_depth(ground, self.lens)
        rows, columns, frame_xy = rows[near], columns[near], frame_xy[near]
        value = self._value(ground, frame_xy, quality)
        known = self.canvas.quality_at(transform(ground, frame_xy))
        wanted = np.zeros((h, w), np.bool_)
        wanted[rows, columns] = value > BETTER * known
        return wanted

    def _value(self, ground: Matrix, frame_xy: np.ndarray, quality: float) -> np.ndarray:
        """How well a frame shows the ground at its points: sharpness over the ground size of a pixel."""
        H, W = self.lens.size_hw
        value = quality / ground_pixel_size(ground, frame_xy)
        x, y = frame_xy[:, 0], frame_xy[:, 1]
        rim = np.minimum(np.minimum(x, W - 1 - x), np.minimum(y, H - 1 - y)) < _RIM_PX
        return np.asarray(np.where(rim, value * _RIM_QUALITY, value), np.float32)

    def _segment(
        self, rgb: RgbImage, road: Road, plans: Sequence[RoadSlices], pose: FramePose, quality: float,
        index: int | None,
    ) -> int:  # fmt: skip
        start, ground = time.perf_counter(), pose.ground_from_frame(self.lens)
        low, high = self._bounds(plans, pose)
        left, top = np.floor(low).astype(int) // CELL_PX * CELL_PX
        right, bottom = -(-np.ceil(high).astype(int) // CELL_PX) * CELL_PX
        shown = quieten(rgb, road) if road.found else rgb
        tiles = (plan.cut(shown, s) for plan in plans for s in plan.slices)
        predicted: Iterable[Probability] = self.segmenter.backend.predict_tiles(tiles)
        if self.memory is not None and index is not None:
            count = sum(len(plan) for plan in plans)
            predicted = self.memory.recall(index, count, self.segmenter.card.tile, predicted)
        results, sums = iter(predicted), []
        for number, plan in enumerate(plans):
            odds = 1.0 if number else self.odds
            total, weight = (np.zeros((bottom - top, right - left), np.float32) for _ in range(2))
            for s in plan.slices:
                probability = raise_faint(next(results), odds, self.segmenter.threshold)
                self._add(s, plan.weight(s), probability, ground, (top, left), total, weight)
            sums.append((total, weight))
        total, weight = sums[0]
        if len(plans) == 2:
            total = self._filled(sums, weight)
        self.seconds["network"] += time.perf_counter() - start
        start = time.perf_counter()
        keep = self._on_road(road, ground, (top, left), weight.shape) if road.found else np.ones_like(weight)
        new = self._paste(rgb, ground, quality, (top, left), total, weight, keep)
        self.seconds["canvas"] += time.perf_counter() - start
        return new

    def _bounds(self, plans: Sequence[RoadSlices], pose: FramePose) -> tuple[np.ndarray, np.ndarray]:
        """First and last ground pixel (x, y) that slices show at a useful size."""
        ground = pose.ground_from_frame(self.lens)
        corners = np.concatenate([s.corners_rc[:, ::-1] for p in plans for s in p.slices])
        outline, nearest = transform(ground, corners), depth(ground, corners).min()
        if nearest >= least_depth(ground, self.lens):
            return outline.min(axis=0), outline.max(axis=0)
        useful = footprint(pose, self.lens)[0]
        if nearest <= 0:  # some lie beyond the horizon
            return useful.min(axis=0), useful.max(axis=0)
        return np.maximum(outline.min(axis=0), useful.min(axis=0)), np.minimum(outline.max(axis=0), useful.max(axis=0))

    def _filled(self, sums: Sequence[tuple[np.ndarray, np.ndarray]], weight: np.ndarray) -> np.ndarray:
        """The finer look's sum of probabilities, with what the coarser one adds."""
        assert self.coarse_scale is not None
        fine, coarse = (total / np.maximum(seen, 1e-6) for total, seen in sums)
        return np.asarray(fill_gaps(fine, coarse, self.coarse_scale, self.segmenter.threshold) * weight)

    def _add(
        self, piece: RoadSlice, trust: np.ndarray, probability: np.ndarray, ground: Matrix, origin: tuple[int, int],
        total: np.ndarray, weight: np.ndarray,
    ) -> None:  # fmt: skip
        """Warp one slice's result to the ground and add it up."""
        top, left = origin
        full = ground @ piece.frame_from_slice()
        side = probability.shape[0]
        corners = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [side - 0.5, side - 0.5], [-0.5, side - 0.5]])
        if depth(full, corners).min() > 0:
            outline = transform(full, corners)
        else:  # it goes beyond the horizon: all that is asked for may lie in it
            outline = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * total.shape[::-1] + (left, top)
        c0, r0 = np.maximum(np.floor(outline.min(axis=0)).astype(int) - (left, top), 0)
        c1, r1 = np.ceil(outline.max(axis=0)).astype(int) - (left, top) + 1
        c1, r1 = min(int(c1), total.shape[1]), min(int(r1), total.shape[0])
        if r1 <= r0 or c1 <= c0:
            return
        shift = np.array([[1, 0, -(left + c0)], [0, 1, -(top + r0)], [0, 0, 1.0]])
        matrix, size = shift @ full, (int(c1 - c0), int(r1 - r0))
        finer = side / max(float(np.linalg.norm(outline[1] - outline[0])), 1e-6)
        if finer > 1.5:  # thin lines would alias
            probability = cv2.GaussianBlur(probability, (0, 0), 0.4 * finer, borderType=cv2.BORDER_REFLECT_101)
        warped = cv2.warpPerspective(np.dstack([probability * trust, trust]), matrix, size, flags=cv2.INTER_LINEAR)
        total[r0:r1, c0:c1] += warped[:, :, 0]
        weight[r0:r1, c0:c1] += warped[:, :, 1]

    def _on_road(
        self, road: Road, ground: Matrix, origin: tuple[int, int], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float32]:
        """1 on the road and a little beside it (`_ON_ROAD`), else 0.

        Slices show verge too, and its edge and grass are full of dark lines.
        """
        h, w = road.mask.shape
        H, W = self.lens.size_hw
        cells = np.array([[W / w, 0, 0.5 * W / w - 0.5], [0, H / h, 0.5 * H / h - 0.5], [0, 0, 1.0]])
        shift = np.array([[1, 0, -origin[1]], [0, 1, -origin[0]], [0, 0, 1.0]])
        beside = cv2.dilate(road.mask.view(np.uint8), _CROSS).astype(np.float32)
        warped = cv2.warpPerspective(
            beside, shift @ ground @ cells, (shape[1], shape[0]), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.asarray(warped > _ON_ROAD, np.float32)

    def _paste(
        self, rgb: RgbImage, ground: Matrix, quality: float, origin: tuple[int, int], total: np.ndarray,
        weight: np.ndarray, on_road: np.ndarray,
    ) -> int:  # fmt: skip
        """Blend sums of probability into the canvas; the number of ground pixels that were new."""
        top, left = origin
        height, width = total.shape
        probability = total / np.maximum(weight, 1e-6)
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
        picture = cv2.warpPerspective(rgb, shift @ ground, (width, height), flags=cv2.INTER_LINEAR)
        inside = cv2.warpPerspective(self._useful(ground), shift @ ground, (width, height)) == 255
        weight = np.where(inside, np.minimum(weight, 1.0), 0).astype(np.float32)
        whole = self._looked_cells(weight, inside)
        rows, columns = np.indices(whole.shape)
        centres = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64) * CELL_PX
        centres += np.array([left, top]) + (CELL_PX - 1) / 2
        frame_xy = transform(np.asarray(np.linalg.inv(ground), np.float64), centres)
        value = self._value(ground, frame_xy, quality).reshape(whole.shape)
        known = self.canvas.quality_at(centres).reshape(whole.shape)
        # Where this look is clearly better it replaces what is there, where it is clearly worse it only fills in.
        keep = np.clip(1.0 - (value / np.maximum(known, 1e-6) - 1.0) / (BETTER - 1.0), 0.0, 1.0).astype(np.float32)
        keep_old = cv2.resize(keep, (width, height), interpolation=cv2.INTER_LINEAR)
        better = (known <= BETTER * value).astype(np.float32)
        weight *= on_road * cv2.resize(better, (width, height), interpolation=cv2.INTER_NEAREST)
        self.canvas.paste(top, left, probability, weight, picture, keep_old=keep_old)
        self.canvas.mark_seen(top // CELL_PX, left // CELL_PX, whole, value)
        return int((whole & (value > BETTER * known)).sum()) * CELL_PX**2

    def _useful(self, ground: Matrix) -> npt.NDArray[np.uint8]:
        """255 where the frame shows ground at a useful size, shape (H, W), else 0."""
        H, W = self.lens.size_hw
        out, least = np.full((H, W), 255, np.uint8), least_depth(ground, self.lens)
        if depth(ground, self.lens.corners_xy).min() < least:
            rows = ground[2, 1] * np.arange(H) + ground[2, 2]
            out[rows[:, None] + ground[2, 0] * np.arange(W) < least] = 0
        return out

    def _looked_cells(self, weight: np.ndarray, inside: BoolMask) -> BoolMask:
        """Cells of ground of which all that the frame shows was trusted, if it shows a good part of them.

        Verge counts as well: what was looked at and found to be beside the road is not looked at again.
        """
        size = weight.shape[1] // CELL_PX, weight.shape[0] // CELL_PX
        trusted = cv2.resize((weight > _TRUSTED).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        shown = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray((shown > 0.25) & (trusted > 0.98 * shown), np.bool_)
