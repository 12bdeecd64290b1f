"""`write_flight`: a flight as the H.264 film a drone hands over, with DJI's subtitles and exact truth beside it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fissura.errors import MissingDependencyError, SettingsError
from fissura.imaging.write import as_output_error, temporary_path, write_bytes
from fissura.synth.aerial.camera import AerialCamera
from fissura.synth.aerial.flight import Flight
from fissura.synth.aerial.ground import Ground
from fissura.synth.aerial.model import WorldOptions
from fissura.synth.aerial.telemetry import Origin, dji_lines, srt_text
from fissura.synth.aerial.vehicles import MovingVehicle
from fissura.synth.aerial.view import check_in_ground, look_down
from fissura.synth.aerial.world import AerialWorld, make_world
from fissura.types import RgbImage

_TICKS = 90_000
_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    b"MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


@dataclass(frozen=True)
class FlightTruth:
    """What is known about a film.

    Attributes:
        cameras: One a frame.
        times_s: Presentation time of each frame.
        fps: Nominal frames a second.
        origin: Where the world's corner (0, 0) lies.
        seed: Of the world.
        options: Of the world, as a mapping.
    """

    cameras: tuple[AerialCamera, ...]
    times_s: tuple[float, ...]
    fps: float
    origin: Origin
    seed: int
    options: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write as JSON, with the homography (pixel x, y, 1 to east, north in metres) of each frame.

        Raises:
            OutputError: The file cannot be written.
        """
        frames = [
            {"time_s": t, **asdict(c), "ground_from_image": c.ground_from_image().tolist()}
            for c, t in zip(self.cameras, self.times_s, strict=True)
        ]
        origin = asdict(self.origin) | {"start": self.origin.start.isoformat()}
        data = {"fps": self.fps, "origin": origin, "seed": self.seed, "options": self.options, "frames": frames}
        write_bytes(path, json.dumps(data, indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> FlightTruth:
        """Read what `write` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        names = set(AerialCamera.__dataclass_fields__)
        cameras = [
            AerialCamera(**{k: v for k, v in f.items() if k in names} | {"image_hw": tuple(f["image_hw"])})
            for f in data["frames"]
        ]
        origin = Origin(**data["origin"] | {"start": datetime.fromisoformat(data["origin"]["start"])})
        times = tuple(f["time_s"] for f in data["frames"])
        return cls(tuple(cameras), times, data["fps"], origin, data["seed"], data["options"])

    def world(self) -> AerialWorld:
        """The world that was filmed, made again."""
        return make_world(self.seed, WorldOptions(**self.options | {"extent_m": tuple(self.options["extent_m"])}))


@dataclass(frozen=True)
class Encoding:
    """How the film is coded.

    Attributes:
        bitrate_mbps: Megabits a second.
        preset: Of x264, ``ultrafast`` to ``slow``.
        keyframe_s: Time between key frames.
        b_frames: Frames in a row that are coded from both sides; drones write none, editors two or three.
        threads: Of the encoder; 0 uses all cores.
    """

    bitrate_mbps: float = 60.0
    preset: str = "ultrafast"
    keyframe_s: float = 1.0
    b_frames: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if not (self.bitrate_mbps > 0 and self.keyframe_s > 0 and self.b_frames >= 0):
            raise SettingsError("bitrate_mbps and keyframe_s must be above 0, b_frames not negative")


def write_flight(
    path: Path,
    world: AerialWorld,
    flight: Flight | Sequence[AerialCamera],
    fps: float = 30.0,
    *,
    bitrate_mbps: float = 60.0,
    encoding: Encoding | None = None,
    gsd_mm: float | None = None,
    subtitles: bool = True,
    sidecar: bool = False,
    traffic: Sequence[MovingVehicle] = (),
    origin: Origin | None = None,
    gps_noise_m: float = 0.0,
    seed: int = 0,
) -> FlightTruth:
    """Film a flight. Frames are made one at a time; memory holds the painted ground and little more.

    Args:
        path: The .mp4; ``path.json`` beside it (suffix replaced) takes the truth.
        world: The ground.
        flight: From `plan_flight`, or a camera for each frame at ``fps``.
        fps: Frames a second, where ``flight`` is a list of cameras.
        bitrate_mbps: Of the film, unless ``encoding`` is given.
        encoding: Codec settings.
        gsd_mm: Resolution the ground is painted at; default: the finest pixel in the middle of any frame.
        subtitles: A text track with a line in DJI's style for each frame.
        sidecar: The same lines as a .SRT file beside the film.
        traffic: Moving vehicles.
        origin: Where on the globe the world lies.
        gps_noise_m: Slow error of the written positions.
        seed: Of sensor noise and position errors.
    Raises:
        SettingsError: The frames are of several sizes or of odd ones.
        GeometryError: A frame reaches beyond the world's extent.
        MissingDependencyError: PyAV is not installed.
        OutputError: The film cannot be written.
    """
    if not isinstance(flight, Flight):
        flight = Flight(tuple(flight), tuple(k / fps for k in range(len(flight))), fps)
    sizes = {c.image_hw for c in flight.cameras}
    if len(sizes) > 1 or any(side % 2 for size in sizes for side in size):
        raise SettingsError(f"frames are {sorted(sizes)} (rows, columns); a film needs one size with even sides")
    finest = min(float(c.gsd_mm()[0]) for c in flight.cameras)
    ground = world.ground(round(finest, 3) if gsd_mm is None else gsd_mm)
    for camera in flight.cameras:
        check_in_ground(ground, camera)
    origin = origin or Origin()
    lines = dji_lines(flight.cameras, flight.times_s, origin, gps_noise_m=gps_noise_m, seed=seed)
    _encode(
        path, flight, _frames(ground, flight, traffic, seed), lines if subtitles else None,
        encoding or Encoding(bitrate_mbps=bitrate_mbps),
    )  # fmt: skip
    if sidecar:
        text = srt_text(lines, flight.times_s, 1.0 / flight.fps)
        write_bytes(path.with_suffix(".SRT"), text.encode())
    truth = FlightTruth(flight.cameras, flight.times_s, flight.fps, origin, world.seed, asdict(world.options))
    truth.write(path.with_suffix(".json"))
    return truth


def _frames(ground: Ground, flight: Flight, traffic: Sequence[MovingVehicle], seed: int) -> Iterator[RgbImage]:
    for k, (camera, time) in enumerate(zip(flight.cameras, flight.times_s, strict=True)):
        vehicles = [v for v in (m.at(time) for m in traffic) if v is not None]
        yield look_down(ground, camera, seed * 1_000_003 + k, vehicles)


def _encode(path: Path, flight: Flight, frames: Iterator[RgbImage], lines: Sequence[str] | None, how: Encoding) -> None:
    """Frames and subtitles into one MP4; the file appears under its name when it is whole."""
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("writing a film needs PyAV; install it with: pip install av") from error
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(temporary), "w", format="mp4") as container:
            _mux(container, flight, frames, lines, how)
        os.replace(temporary, path)
    except OSError as error:
        raise as_output_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _mux(
    container: Any, flight: Flight, frames: Iterator[RgbImage], lines: Sequence[str] | None, how: Encoding
) -> None:
    import av
    from av.video.reformatter import Colorspace

    h, w = flight.cameras[0].image_hw
    rate = Fraction(flight.fps).limit_denominator(1001)
    options = {
        "preset": how.preset, "g": str(max(round(flight.fps * how.keyframe_s), 1)), "bf": str(how.b_frames),
        "sc_threshold": "0", "threads": str(how.threads),
    }  # fmt: skip
    video = container.add_stream("libx264", rate=rate, options=options)
    video.width, video.height, video.pix_fmt = w, h, "yuv420p"
    video.bit_rate = int(how.bitrate_mbps * 1e6)
    video.time_base = video.codec_context.time_base = Fraction(1, _TICKS)
    context = video.codec_context  # BT.709, limited range, as drones write it.
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
    text = None
    if lines is not None:
        text = container.add_stream("mov_text")
        text.codec_context.subtitle_header = _ASS_HEADER
        text.time_base = Fraction(1, _TICKS)
    ticks = [round(t * _TICKS) for t in flight.times_s]
    ends = [*ticks[1:], ticks[-1] + round(_TICKS / flight.fps)]
    for k, rgb in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.time_base = ticks[k], Fraction(1, _TICKS)
        container.mux(video.encode(frame))
        if text is not None and lines is not None:
            data = lines[k].encode()
            packet = av.Packet(struct.pack(">H", len(data)) + data)
            packet.stream, packet.time_base = text, Fraction(1, _TICKS)
            packet.pts = packet.dts = ticks[k]
            packet.duration = ends[k] - ticks[k]
            container.mux(packet)
    container.mux(video.encode())
