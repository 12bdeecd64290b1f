"""The options of ``fissura survey``, and the folder of a run that belongs to one set of them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fissura.errors import SettingsError
from fissura.imaging.write import write_bytes
from fissura.infer.segmenter import Segmenter

DEFAULT_SCALE = 1.5
"""Enlargement of slices. On traced frames of 17 mm a pixel it found most (recall 0.42, 0.58, 0.60 at 1, 1.5, 2, and at
1.5 the fewest false alarms; `benchmarks/drone_traces.py`), on flights of 8.5 mm a pixel more than 1 did."""


@dataclass(frozen=True)
class VideoRequest:
    """The options of ``fissura survey`` for a video, as given."""

    source: str
    out: Path
    model: str = "fast"
    engine: str = "openvino"
    precision: str = "auto"
    threads: int | None = None
    threshold: float | None = None
    scale: float = DEFAULT_SCALE
    gsd_mm: float | None = None
    height_m: float | None = None
    focal_35mm: float | None = None
    pitch_deg: float | None = None
    telemetry: Path | None = None
    telemetry_offset_s: float | None = None
    telemetry_rate_hz: float | None = None
    rules: str | None = None
    whole_frame: bool = False
    annotate: bool = False
    seconds: float | None = None
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError for a value that makes no sense for any video."""
        for name, value, what in (
            ("--gsd-mm", self.gsd_mm, "the ground size of a pixel in mm"),
            ("--height-m", self.height_m, "the camera's height above the road in m"),
            ("--focal-35mm", self.focal_35mm, "the 35-mm-equivalent focal length in mm"),
            ("--seconds", self.seconds, "how many seconds to survey"),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} is {value:g}; give {what}, above 0")
        if not 0.25 <= self.scale <= 4:
            raise SettingsError(f"--scale is {self.scale:g}; give a factor from 0.25 to 4")
        if self.pitch_deg is not None and not -90 <= self.pitch_deg <= -20:
            raise SettingsError(f"--pitch-deg is {self.pitch_deg:g}; give -90 (straight down) to -20")


def claim_folder(request: VideoRequest, segmenter: Segmenter) -> bool:
    """Make the folder ready; False if it holds these very results already.

    Raises:
        SettingsError: It holds another run, or files that are not ours.
    """
    settings = describe_settings(request, segmenter)
    record = request.out / "settings.yaml"
    try:
        before = yaml.safe_load(record.read_text(encoding="utf-8")) if record.is_file() else None
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{record} cannot be read ({error}); choose another --out") from error
    if before is None and request.out.is_dir() and any(request.out.iterdir()):
        raise SettingsError(f"{request.out} holds files that are not from 'fissura survey'; choose another --out")
    if before is not None and not request.overwrite:
        changed = sorted(k for k in settings if before.get(k) != settings[k])
        if changed:
            raise SettingsError(
                f"{request.out} holds a run with other settings ({', '.join(changed)} differ); "
                "choose another --out, or pass --overwrite"
            )
        summary = request.out / "summary.json"
        if summary.is_file() and json.loads(summary.read_text(encoding="utf-8")).get("complete"):
            return False
    shutil.rmtree(request.out / "ground", ignore_errors=True)
    for name in ("manifest.jsonl", "summary.json"):
        (request.out / name).unlink(missing_ok=True)
    write_bytes(record, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())
    return True


def describe_settings(request: VideoRequest, segmenter: Segmenter) -> dict[str, Any]:
    """Everything that results depend on, as plain values."""
    card = segmenter.card
    stamp: list[int] = []
    path = Path(request.source)
    if path.is_file():
        stamp = [path.stat().st_size, path.stat().st_mtime_ns]
    return {
        "source": request.source if path.is_file() else hashlib.sha256(request.source.encode()).hexdigest()[:12],
        "source_stamp": stamp, "model": f"{card.name} {card.version}", "engine": segmenter.backend.description,
        "threshold": segmenter.threshold, "scale": request.scale, "gsd_mm": request.gsd_mm,
        "height_m": request.height_m, "focal_35mm": request.focal_35mm, "pitch_deg": request.pitch_deg,
        "telemetry": None if request.telemetry is None else str(request.telemetry),
        "telemetry_offset_s": request.telemetry_offset_s, "telemetry_rate_hz": request.telemetry_rate_hz,
        "rules": request.rules, "whole_frame": request.whole_frame,
        "annotate": request.annotate, "seconds": request.seconds,
    }  # fmt: skip
