"""Frame registration: where on the ground each frame of a flight looks, without telemetry.

A frame is registered to a keyframe, not to the frame before it, so that errors do not add up from frame to
frame; a new keyframe is made when little of the old one is left in view. Where a flight comes back to ground it
has seen, older keyframes take part and draw the new one into their place. A frame that agrees with no keyframe is
lost; the place is looked for again with features, and after a while a new chart (a piece of ground of its own)
is begun.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fissura.geo.homography import transform
from fissura.survey.keyframes import (
    LEAST_INLIERS,
    GreyImage,
    Keyframe,
    Matches,
    find_features,
    follow,
    recognise,
    shift_guess,
)  # fmt: skip
from fissura.survey.pose import FramePose, Lens, Matrix, PointsXY, fit_pose, pose_from_similarity

REDUCED_PX = 960
"""Longer side at which frames are registered."""
LEAST_SHARE = 0.25
"""Of the followed points, so many must agree."""
NEW_KEYFRAME_AT = 0.35
"""A keyframe is left when the view has moved by this share of the frame's shorter side, ..."""
_NEW_SCALE, _NEW_TURN = math.log(1.2), math.radians(15)
"""... or its size or direction by this."""
LOST_SECONDS = 1.5
"""So long a lost flight looks for its old ground before it starts a new chart."""
LARGEST_TILT_DEG = 60.0
"""Frames that look nearer to the horizon are counted as lost: little of their ground is seen at a useful size."""
_CHART_APART_PX = 1e7
"""From one chart to the next: so far no flight gets without a cut, and a double still holds a millionth of a pixel."""
_MOST_KEYFRAMES = 240
_LARGEST_RESIDUAL_PX = 6.0
_STEADY_PX = 3.0
"""A flight is steady while frames are so near to where its speed puts them (reduced pixels; `follow` finds 30), ..."""
_STEADY_STEP = 0.05
"""... and moves by no more than this share of the frame's shorter side from one registered frame to the next."""


def looks_flat(tilt: tuple[float, float]) -> bool:
    """Whether a camera (`FramePose.tilt_x`, ``tilt_y``) looks too far along the ground."""
    return math.hypot(*tilt) > math.radians(LARGEST_TILT_DEG) + 1e-6


@dataclass(frozen=True)
class Registered:
    """Where a frame looks.

    Attributes:
        index: Number of the frame.
        time_s: Its time.
        pose: None if the frame is lost.
        chart: Piece of connected ground the pose belongs to.
        share: Of the followed points, how many agree.
        keyframe: It became a keyframe.
        recovered: The flight had been lost before.
    """

    index: int
    time_s: float
    pose: FramePose | None
    chart: int
    share: float = 0.0
    keyframe: bool = False
    recovered: bool = False


@dataclass
class Registration:
    """Registers the frames of one flight, in order.

    Args:
        lens: Of the full frames.
        factor: Full pixels per reduced pixel, a whole number.
        tilt: Expected tilt in radians (`FramePose.tilt_x`, ``tilt_y``), 0 for straight down.
        tilt_sigma: How sure that is.
    """

    lens: Lens
    factor: int
    tilt: tuple[float, float] = (0.0, 0.0)
    tilt_sigma: float = math.radians(1.0)
    keyframes: list[Keyframe] = field(default_factory=list)
    chart: int = 0
    _anchor: Keyframe | None = None
    _last: Registered | None = None
    _speed: np.ndarray = field(default_factory=lambda: np.zeros(6))
    _lost_since: float | None = None
    _search: int = 0
    steady: bool = False
    """The last frame was where the flight's speed put it: half as many frames would do."""

    def update(
        self, index: int, time_s: float, grey: GreyImage, *, tilt: tuple[float, float] | None = None
    ) -> Registered:
        """Register a frame.

        Args:
            index: Number of the frame.
            time_s: Its time, growing.
            grey: The frame reduced by ``factor``, shape (h, w).
            tilt: Of this frame by telemetry.
        """
        if tilt is not None:
            self.tilt = tilt
        before, self.steady = self._last, False
        if looks_flat(self.tilt):
            return self._lose(index, time_s, grey)
        if self._anchor is None:
            return self._begin(index, time_s, grey)
        expected = self._expected(time_s)
        found = self._track(expected, grey)
        if found is None:
            found = self._search_again(grey)
        if found is None:
            return self._lose(index, time_s, grey)
        pose, share, anchor = found
        recovered = self._lost_since is not None
        self._lost_since = None
        if expected is not None and before is not None and not recovered:
            self.steady = self._is_steady(before, expected, pose)
        self._learn_speed(pose, time_s, anchor.chart, recovered=recovered)
        self._anchor, self.chart = anchor, anchor.chart
        is_key = self._needs_keyframe(pose, anchor)
        if is_key:
            pose = self._refine(pose, grey, anchor)
            self._add_keyframe(Keyframe(index, grey, pose, anchor.chart))
        self._last = Registered(index, time_s, pose, anchor.chart, share, is_key, recovered)
        return self._last

    def _begin(self, index: int, time_s: float, grey: GreyImage) -> Registered:
        """A chart of its own, far from all ground that is known, if the frame holds enough to be followed."""
        chart = max((k.chart for k in self.keyframes), default=-1) + 1
        pose = FramePose(x=_CHART_APART_PX * chart, tilt_x=self.tilt[0], tilt_y=self.tilt[1])
        keyframe = Keyframe(index, grey, pose, chart)
        if len(keyframe.corners_xy) < LEAST_INLIERS:
            return Registered(index, time_s, None, self.chart)
        self._add_keyframe(keyframe)
        self.chart, self._lost_since, self._speed = chart, None, np.zeros(6)
        self._last = Registered(index, time_s, pose, chart, 1.0, True)
        return self._last

    def _expected(self, time_s: float) -> FramePose | None:
        """Where the flight should be by now."""
        if self._last is None or self._last.pose is None:
            return None
        # A speed says nothing of where a flight is long after it was lost.
        return self._last.pose.moved(self._speed * min(time_s - self._last.time_s, 2 * LOST_SECONDS))

    def _is_steady(self, before: Registered, expected: FramePose, pose: FramePose) -> bool:
        assert before.pose is not None
        h, w = self.lens.size_hw
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
        ground = transform(pose.ground_from_frame(self.lens), corners)
        off, moved = (
            float(np.linalg.norm(transform(p.frame_from_ground(self.lens), ground) - corners, axis=1).max())
            for p in (expected, before.pose)
        )
        return off < _STEADY_PX * self.factor and moved < _STEADY_STEP * min(h, w)

    def _track(self, expected: FramePose | None, grey: GreyImage) -> tuple[FramePose, float, Keyframe] | None:
        """Follow the anchor where the flight should be by now."""
        if self._last is None or self._last.pose is None or self._anchor is None or expected is None:
            return None
        guesses = [expected]
        if np.abs(expected.vector()[:2] - self._last.pose.vector()[:2]).max() > 2.0:
            guesses.append(self._last.pose)
        for guess in guesses:
            found = self._follow(self._anchor, guess, grey)
            if found is not None:
                return found
        jump = shift_guess(self._anchor, grey, self._reduced_between(guesses[0], self._anchor))
        if jump is None:
            return None
        return self._fit(self._anchor, follow(self._anchor, grey, jump), guesses[0])

    def _follow(self, anchor: Keyframe, guess: FramePose, grey: GreyImage) -> tuple[FramePose, float, Keyframe] | None:
        return self._fit(anchor, follow(anchor, grey, self._reduced_between(guess, anchor)), guess)

    def _fit(
        self, anchor: Keyframe, matches: Matches | None, guess: FramePose
    ) -> tuple[FramePose, float, Keyframe] | None:
        if matches is None or matches.share < LEAST_SHARE:
            return None
        pose, residual = self._solve([(anchor, matches)], guess)
        if float(np.median(residual)) > _LARGEST_RESIDUAL_PX * self.factor / 4:
            return None
        return pose, matches.share, anchor

    def _solve(self, pairs: Sequence[tuple[Keyframe, Matches]], guess: FramePose) -> tuple[FramePose, np.ndarray]:
        frame_xy = np.concatenate([self._full(m.frame_xy) for _, m in pairs])
        ground_xy = np.concatenate(
            [transform(k.pose.ground_from_frame(self.lens), self._full(m.anchor_xy)) for k, m in pairs]
        )
        return fit_pose(frame_xy, ground_xy, guess, self.lens, tilt=self.tilt, tilt_sigma=self.tilt_sigma)

    def _search_again(self, grey: GreyImage) -> tuple[FramePose, float, Keyframe] | None:
        """Look for the place with features: the latest keyframes first, then, a few at a time, all others."""
        features = find_features(grey)
        latest = self.keyframes[-1:-4:-1]
        others = self.keyframes[:-3]
        tried = latest + [others[(self._search + i) % len(others)] for i in range(min(4, len(others)))]
        self._search += 4
        for anchor in tried:
            matches = recognise(anchor, features)
            if matches is None or matches.share < LEAST_SHARE:
                continue
            guess = self._guess_from(anchor, matches)
            found = self._follow(anchor, guess, grey) if guess is not None else None
            if found is not None:
                return found
        return None

    def _guess_from(self, anchor: Keyframe, matches: Matches) -> FramePose | None:
        import cv2

        ground = transform(anchor.pose.ground_from_frame(self.lens), self._full(matches.anchor_xy))
        middle = ground.mean(axis=0)  # OpenCV counts in single precision
        matrix, _ = cv2.estimateAffinePartial2D(
            self._full(matches.frame_xy), ground - middle, ransacReprojThreshold=20.0
        )
        if matrix is None:
            return None
        matrix[:, 2] += middle
        start = pose_from_similarity(matrix, replace(anchor.pose, tilt_x=self.tilt[0], tilt_y=self.tilt[1]), self.lens)
        return self._solve([(anchor, matches)], start)[0]

    def _lose(self, index: int, time_s: float, grey: GreyImage) -> Registered:
        if self._lost_since is None:
            self._lost_since = time_s
        elif time_s - self._lost_since > LOST_SECONDS and not looks_flat(self.tilt):
            return self._begin(index, time_s, grey)
        return Registered(index, time_s, None, self.chart)

    def _learn_speed(self, pose: FramePose, time_s: float, chart: int, *, recovered: bool) -> None:
        if self._last is None or self._last.pose is None:
            return
        elapsed = max(time_s - self._last.time_s, 1e-3)
        if recovered or chart != self._last.chart:
            self._speed = np.zeros(6)
            return
        now = (pose.vector() - self._last.pose.vector()) / elapsed
        now[4:] = 0.0  # tilt trembles; it does not travel
        self._speed = 0.5 * self._speed + 0.5 * now

    def _needs_keyframe(self, pose: FramePose, anchor: Keyframe) -> bool:
        h, w = self.lens.size_hw
        centre = np.array([self.lens.centre_xy])
        view = anchor.pose.frame_from_ground(self.lens) @ pose.ground_from_frame(self.lens)
        moved = float(np.linalg.norm(transform(view, centre) - centre))
        turned = abs(pose.turn - anchor.pose.turn)
        grown = abs(pose.log_height - anchor.pose.log_height)
        return moved > NEW_KEYFRAME_AT * min(h, w) or turned > _NEW_TURN or grown > _NEW_SCALE

    def _refine(self, pose: FramePose, grey: GreyImage, anchor: Keyframe) -> FramePose:
        """A new keyframe's pose from all keyframes that share ground with it, the oldest ones included."""
        h, w = self.lens.size_hw
        centre = np.array([self.lens.centre_xy])
        here = transform(pose.ground_from_frame(self.lens), centre)[0]
        near = []
        for other in self.keyframes:
            if other.chart != anchor.chart:
                continue
            distance = float(np.linalg.norm(transform(other.pose.ground_from_frame(self.lens), centre)[0] - here))
            if distance < 0.75 * min(h, w) * math.exp(other.pose.log_height):
                near.append((distance, other))
        near.sort(key=lambda entry: entry[0])
        pairs = []
        for _, other in near[:5]:
            matches = follow(other, grey, self._reduced_between(pose, other))
            if matches is not None and matches.share >= LEAST_SHARE:
                pairs.append((other, matches))
        return self._solve(pairs, pose)[0] if pairs else pose

    def _add_keyframe(self, keyframe: Keyframe) -> None:
        self.keyframes.append(keyframe)
        self._anchor = keyframe
        if len(self.keyframes) > _MOST_KEYFRAMES:
            # Every second of the older half goes: the ground stays covered, only less densely.
            half = _MOST_KEYFRAMES // 2
            self.keyframes = self.keyframes[:half:2] + self.keyframes[half:]

    def _reduced_between(self, pose: FramePose, anchor: Keyframe) -> Matrix:
        """Reduced keyframe to reduced frame."""
        full = pose.frame_from_ground(self.lens) @ anchor.pose.ground_from_frame(self.lens)
        k, shift = float(self.factor), (self.factor - 1) / 2
        up = np.array([[k, 0, shift], [0, k, shift], [0, 0, 1.0]])
        return np.asarray(np.linalg.inv(up) @ full @ up, np.float64)

    def _full(self, points_xy: PointsXY) -> PointsXY:
        """Reduced to full pixels: centres of blocks."""
        return points_xy * self.factor + (self.factor - 1) / 2
