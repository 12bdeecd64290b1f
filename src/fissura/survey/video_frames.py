"""Crack masks of a video's frames: the ground is looked at once, and what was found goes back into the frames."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fissura.errors import ImageError
from fissura.geo.homography import transform
from fissura.imaging.video import open_video
from fissura.infer.segmenter import Segmenter
from fissura.survey.flight import FlightResult, LookedFrame, fly
from fissura.survey.ground import GroundCanvas
from fissura.survey.looking import GroundLooker
from fissura.survey.pose import USUAL_FOCAL_35MM, Lens
from fissura.types import Probability, RgbImage


@dataclass(frozen=True, eq=False)
class SegmentedFrame:
    """A frame and its cracks.

    Attributes:
        index: Number of the frame.
        time_s: Its time.
        rgb: Shape (H, W, 3).
        probability: Shape (H, W), 0 to 1; 0 where no road was looked at.
        road_found: Whether there was a road, or the whole frame was looked at.
    """

    index: int
    time_s: float
    rgb: RgbImage
    probability: Probability
    road_found: bool


def segment_video(
    path: Path, segmenter: Segmenter, *, folder: Path, scale: float = 1.0, whole_frame: bool = False,
    progress: Callable[[FlightResult], None] | None = None, notes: list[str] | None = None,
) -> Iterator[SegmentedFrame]:  # fmt: skip
    """Segment a video and give the frames that together show all of its ground.

    Args:
        path: The video.
        segmenter: The network.
        folder: For temporary tiles of the ground.
        scale: Enlargement of slices.
        whole_frame: Look everywhere, not on roads only.
        progress: Called while the ground is looked at.
        notes: Gets what is missing of the video or wrong with it, before the first frame is given.
    Yields:
        Frames in order, read a second time.
    Raises:
        ImageError: The video cannot be read, or no frame could be looked at.
    """
    with tempfile.TemporaryDirectory(prefix=".ground-", dir=folder) as tiles:
        with open_video(path) as video:
            lens = Lens.from_35mm(USUAL_FOCAL_35MM, video.info.size_hw)
            canvas = GroundCanvas(Path(tiles))
            result = fly(
                video, GroundLooker(canvas, segmenter, lens, scale=scale, whole_frame=whole_frame), progress=progress
            )
            if notes is not None:
                notes += video.notes
        if result.error is not None and not result.looked:
            raise result.error
        if not result.looked:
            raise ImageError(f"{path}: no frame could be looked at ({result.frames} frames were read)")
        wanted = {looked.index: looked for looked in result.looked}
        with open_video(path) as again:
            for frame in again:
                looked = wanted.pop(frame.index, None)
                if looked is not None:
                    probability = read_frame(canvas, looked, lens)
                    yield SegmentedFrame(frame.index, frame.time_s, frame.rgb(), probability, looked.look.road_found)
                if not wanted:
                    break
        if result.error is not None:
            raise result.error


def read_frame(canvas: GroundCanvas, looked: LookedFrame, lens: Lens) -> Probability:
    """The ground's probability as a frame sees it, shape (H, W)."""
    h, w = lens.size_hw
    ground = looked.pose.ground_from_frame(lens)
    corners = transform(ground, np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64))
    left, top = np.floor(corners.min(axis=0)).astype(int) - 2
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    window = canvas.read(slice(int(top), int(bottom)), slice(int(left), int(right)))
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    seen = cv2.warpPerspective(
        window.probability, shift @ ground, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(np.clip(seen, 0.0, 1.0), np.float32)
