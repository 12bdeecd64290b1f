"""`find_road`: the road in a frame, its direction, and whether there is one at all.

1. The frame is reduced to 480 cells along its longer side.
2. A tiny network gives cells the logit of looking like pavement (`fissura.road.appearance`); a second one, which sees
   the whole frame, that of being part of a road (`fissura.road.network`). They add up.
3. Connected pieces are judged by their shape (`fissura.road.shape`): roads stay, yards, roofs, water go. What lies just
   ahead of a road's end and has its surface goes on behind crowns.
4. Gravel beside a road is cut off (`fissura.road.shoulder`), holes of vehicles and markings are filled.
5. Its outline and the lines on it give its direction everywhere (`fissura.road.direction`).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fissura.errors import GeometryError
from fissura.road.appearance import Plane, chroma, reduce_frame
from fissura.road.direction import road_width
from fissura.road.model import Road
from fissura.road.shape import Pieces, measure_pieces, split_pieces
from fissura.road.shoulder import cut_flanks
from fissura.road.weights import load_weights
from fissura.types import BoolMask, RgbImage

_LEAST_SHARE = 1 / 500
"""Smaller pieces of pavement than this share of the frame are not looked at."""
_LEAST_ROAD = 0.025
"""Less road than this share of the frame is a corner of something, and not worth a look."""
_CLEAREST = 0.75
"""At least one piece has to be a road with this probability."""
_EVERYTHING = 0.985
"""A piece that leaves less than this of the frame has no outline to judge: a wall, a deck, or too low a flight."""
_LEVELS = np.arange(0.0, -3.01, -0.5)
_STEADY = 0.02
"""Least logit of pavement: the highest of these below which, a step further, less than this share is added."""
_HAZE = 3.0
"""With a known road: pavement begins so far above what most of the rest shows, and so far below the road itself."""
_PRIOR_LOGIT = 1.5
_PRIOR_PIECE = 2.0
_CLEAR, _KIN, _STRANGE, _BACKING = 2.0, 1.2, 1.5, 1.2
"""Logit of a clear road; what still counts as its surface, in steps; logits against others and for its kin."""
_BEYOND, _BEYOND_STRANGE, _BEYOND_WIDTHS = 2.5, 2.0, 2.0
"""Logit of a piece no stranger than this and within so many widths of a road: crowns hide what lies between."""
_BEYOND_MOST = 0.5
"""The largest logit that this gives: less than a frame needs to have a road."""
_END_WIDTHS, _AHEAD = 2.0, 0.85
"""So many widths around its end tell which way a road goes; least cosine between that and the way to the piece."""
_TONE_STEPS = np.array([0.04, 0.25, 0.5])

Floats = npt.NDArray[np.float64]


def find_road(rgb: RgbImage, *, prior: Road | None = None) -> Road:
    """Find the road in a frame.

    Args:
        rgb: Shape (H, W, 3), uint8, the frame at full resolution; best from 400 pixels upwards.
        prior: The road of an earlier frame in this frame's coordinates (`Road.moved`); it steadies what is uncertain
            and hides nothing new.
    Returns:
        The road. ``found`` is False where nothing in the frame has the shape and the look of a road.
    Raises:
        GeometryError: Not an RGB frame of bytes, or a prior of another size.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) < 8:
        raise GeometryError(
            f"the frame is {rgb.dtype} of shape {rgb.shape}; needed is uint8 of (H, W, 3) from 8 pixels"
        )
    size_hw = rgb.shape[0], rgb.shape[1]
    small = reduce_frame(rgb)
    colour = chroma(small)
    logit, way, meeting = load_weights().see_cells(colour)
    known = None if prior is None or not prior.found else _on(prior, logit.shape, size_hw)
    if known is not None:
        logit = logit + _leaning(known)
    pieces = candidate_pieces(logit, colour, known)
    score = _scores(pieces, logit, colour, known)
    if len(score) and known is None and pieces.area[0] > _EVERYTHING * logit.size:
        score[0] = 0.0
    good = score > 0.5
    if pieces.area[good].sum() < _LEAST_ROAD * logit.size or score.max() < (_CLEAREST if known is None else 0.5):
        return Road.none(logit.shape, size_hw, confidence=float(1 - score.max(initial=0.0)))
    mask = _finished(np.append(False, good)[pieces.labels], colour)
    confidence = float(np.average(score[good], weights=pieces.area[good]))
    return Road.from_mask(mask, size_hw, confidence=confidence, light=colour[2], way=way, meeting=meeting)


def candidate_pieces(logit: Plane, colour: Plane, known: BoolMask | None = None) -> Pieces:
    """Connected pieces of pavement without what lies along them; those of roads are among them.

    Args:
        logit: Of each cell, shape (h, w).
        colour: From `chroma`.
        known: Where a road is known to be.
    """
    pavement = _without_holes(pavement_mask(logit, known), colour)
    least = max(int(pavement.size * _LEAST_SHARE), 16)
    pieces = split_pieces(pavement, least)
    kept, whole = np.zeros_like(pavement), True
    for k, area in enumerate(pieces.area):
        left = cut_flanks(pieces.labels == k + 1, colour)
        whole &= np.count_nonzero(left) == area
        kept |= left
    return pieces if whole else split_pieces(kept, least)


def pavement_mask(logit: Plane, known: BoolMask | None = None) -> BoolMask:
    """Cells that look like pavement, without specks, hair cracks and thin bridges, shape (h, w)."""
    above = logit - np.float32(_least_logit(logit, known))
    share = cv2.blur(1.0 / (1.0 + np.exp(-above)), (3, 3), borderType=cv2.BORDER_REPLICATE)
    mask = (share > 0.5).view(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(5), borderType=cv2.BORDER_REPLICATE)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(7), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(mask > 0)


def _least_logit(logit: Plane, known: BoolMask | None) -> float:
    """Where the pavement of a frame ends: at 0, or lower where the frame has pavement on both sides of 0.

    On a dull surface the logits lie about 0 and a mask at 0 is full of holes and notches, while all that is no pavement
    lies far below. A level at which the mask no longer changes lies between the two.
    """
    some = logit[::2, ::2]
    if known is not None:
        inside = known[::2, ::2]
        if 0.01 < inside.mean() < 0.9:
            # In haze all looks a little like pavement; the known road tells by how much the road does more so.
            lifted, road = np.percentile(some[~inside], 25), np.percentile(some[inside], 5)
            if min(lifted + _HAZE, road - _HAZE) > 0:
                return float(min(lifted + _HAZE, road - _HAZE))
    area = [np.count_nonzero(some > level) for level in (*_LEVELS, _LEVELS[-1] - 0.5)]
    for level, own, more in zip(_LEVELS, area, area[1:], strict=False):
        if more - own < _STEADY * own:
            return float(level)
    return 0.0


def _scores(pieces: Pieces, logit: Plane, colour: Plane, known: BoolMask | None) -> Floats:
    """Probability of each piece to be a road."""
    raw = load_weights().road_logit(measure_pieces(pieces, logit, colour), pieces.area / logit.size)
    if known is not None:
        share = np.bincount(pieces.labels.reshape(-1), known.reshape(-1), len(pieces.area) + 1)[1:] / pieces.area
        raw = raw + _PRIOR_PIECE * share
    if len(raw) > 1:
        best = int((pieces.area / (1.0 + np.exp(-raw))).argmax())
        strange = _strangeness(pieces, colour, best)
        raw = raw + _kinship(raw, pieces, strange, best)
        if known is None:  # else it was found before, or comes into sight
            raw = _carried_on(raw, pieces, strange)
    return np.asarray(1.0 / (1.0 + np.exp(-raw)))


def _carried_on(raw: Floats, pieces: Pieces, strange: Floats) -> Floats:
    """What lies just beyond the end of a road and has its surface is the same road: crowns hide it in between."""
    raw, helped = raw.copy(), np.zeros(len(raw), np.bool_)
    while True:
        sure = raw > 0
        others = np.flatnonzero(~sure & ~helped & (strange < _BEYOND_STRANGE))
        if not sure.any() or not len(others):
            return raw
        road = np.append(False, sure)[pieces.labels]
        width = road_width(road)
        away = cv2.distanceTransform((~road).view(np.uint8), cv2.DIST_L2, 5)
        near = [k for k in others if _goes_on(road, away, pieces.labels == k + 1, width)]
        helped[near] = True
        # That there is a road at all they cannot say.
        raw[near] = np.minimum(raw[near] + _BEYOND, _BEYOND_MOST)
        if not (raw[near] > 0).any():
            return raw


def _goes_on(road: BoolMask, away: Plane, piece: BoolMask, width: float) -> bool:
    """Whether a piece lies ahead of an end of the road, not beside it, and near; `away` is the distance to the road."""
    first = np.array(np.unravel_index(np.where(piece, away, np.inf).argmin(), piece.shape))
    if away[tuple(first)] > _BEYOND_WIDTHS * width:
        return False
    cells = np.argwhere(road)
    steps = cells - first
    end = cells[(steps**2).sum(axis=1).argmin()]
    around = cells[((cells - end) ** 2).sum(axis=1) < (_END_WIDTHS * width) ** 2]
    middle = around.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((around - middle).T))
    ahead = first - middle
    return bool(abs(ahead @ axes[:, 1]) > _AHEAD * np.linalg.norm(ahead))


def _kinship(raw: Floats, pieces: Pieces, strange: Floats, best: int) -> Floats:
    """What pieces say of each other: roads of one frame have one surface.

    Beside a clear road a piece of another surface has to be clearer itself; pieces of one surface back each other.
    """
    kin = np.clip(2.0 * (_KIN - strange), 0.0, 1.0)
    gain = kin * _BACKING if raw[best] > 0 else np.zeros_like(kin)
    others = (raw > -1.0) & (pieces.area > 0.3 * pieces.area[best]) & (np.arange(len(raw)) != best)
    gain[best] = _BACKING * float(np.max(kin, where=others, initial=0.0))
    if raw[best] > _CLEAR:
        gain = gain - _STRANGE * np.clip(strange - _KIN / 2, 0.0, 1.5)
    return gain


def _strangeness(pieces: Pieces, colour: Plane, best: int) -> Floats:
    """How far the surface of each piece is from that of the clearest road: warmth, lightness, fine texture."""
    light = colour[2]
    fine = np.log(cv2.blur(cv2.absdiff(light, cv2.blur(light, (3, 3))), (5, 5)) + np.float32(0.002))
    planes = np.stack([colour[0] - colour[1], light, fine])[:, ::2, ::2].reshape(3, -1)
    labels = pieces.labels[::2, ::2].reshape(-1)
    tones = []
    for k in range(len(pieces.area)):
        values = planes[:, labels == k + 1]
        # Of each surface its sunny part.
        sunny = values[1] > np.percentile(values[1], 70) - 0.3
        tones.append(np.median(values[:, sunny], axis=1))
    away = np.array(tones) - tones[best]
    # Cooler and darker is the same surface in the shade.
    away[(away[:, 0] < -0.03) & (away[:, 1] < -0.25)] = 0.0
    return np.asarray(np.linalg.norm(away / _TONE_STEPS, axis=1))


def _on(prior: Road, hw: tuple[int, ...], size_hw: tuple[int, int]) -> BoolMask:
    if prior.size_hw != size_hw:
        raise GeometryError(f"the prior is of a frame of {prior.size_hw}, this one is {size_hw}; move it first")
    if prior.mask.shape == hw:
        return prior.mask
    return np.asarray(cv2.resize(prior.mask.view(np.uint8), (hw[1], hw[0]), interpolation=cv2.INTER_NEAREST) > 0)


def _leaning(known: BoolMask) -> Plane:
    """What a prior adds to the logit: for road where it was, against it just beside, nothing where it says nothing."""
    inside = known.astype(np.float32)
    beside = cv2.dilate(known.view(np.uint8), _disc(15)).astype(np.float32) - inside
    return np.asarray(cv2.blur(_PRIOR_LOGIT * (inside - 0.5 * beside), (5, 5)), dtype=np.float32)


def _without_holes(mask: BoolMask, colour: Plane) -> BoolMask:
    """Fill what vehicles, markings, joints and patches cut out of a mask; islands of green stay."""
    _, tree = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None or (tree[0, :, 3] < 0).all():
        return mask  # most have none, and to see that takes a twentieth of the time of labelling all
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    left, top, width, height, area = stats[1:].T
    h, w = mask.shape
    inner = (left > 0) & (top > 0) & (left + width < w) & (top + height < h)
    # A hole as large as the road is wide, squared, is no vehicle.
    widest = 2.0 * float(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3).max())
    small = np.flatnonzero(inner & (area < max(0.5 * widest**2, 60.0))) + 1
    if count == 1 or not len(small):
        return mask
    where = np.flatnonzero(np.isin(labels, small))
    which = labels.reshape(-1)[where]
    green = -(colour[0] + colour[1]).reshape(-1)[where]
    mean = np.bincount(which, green, count) / np.maximum(np.bincount(which, minlength=count), 1)
    fill = np.zeros(count, np.bool_)
    fill[small] = mean[small] < 0.3
    return np.asarray(mask | fill[labels])


def _finished(mask: BoolMask, colour: Plane) -> BoolMask:
    """The road's outline without notches of markings and vehicles."""
    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, _disc(9), borderType=cv2.BORDER_REPLICATE) > 0
    return _without_holes(closed, colour)


def _disc(side: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)
