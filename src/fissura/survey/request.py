"""`SurveyRequest`: the options of ``fissura survey``, and which of them results depend on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from fissura.errors import SettingsError
from fissura.geo.gsd import check_scale_options
from fissura.geo.odm import AlignedPhoto
from fissura.imaging.media import is_stream
from fissura.imaging.video_source import shown_address
from fissura.infer.segmenter import Segmenter

DEFAULT_SCALE = 1.5
"""Enlargement of slices. On traced frames of 17 mm a pixel it found most (recall 0.42, 0.58, 0.60 at 1, 1.5, 2, and at
1.5 the fewest false alarms; `benchmarks/drone_traces.py`), on flights of 8.5 mm a pixel more than 1 did."""
DEFAULT_SECTION_M = 100.0

_NOT_RESULTS = ("sources", "out", "workers", "threads", "overwrite", "quiet", "debug")
"""Options that do not change what is found. More sources may join a run."""


@dataclass(frozen=True)
class SurveyRequest:
    """The options of ``fissura survey``, as given; see its help."""

    sources: tuple[str, ...]
    out: Path
    mask: Path | None = None
    model: str = "fast"
    engine: str = "openvino"
    precision: str = "auto"
    threads: int | None = None
    threshold: float | None = None
    least_confidence: float | None = None
    scale: float = DEFAULT_SCALE
    gsd_mm: float | None = None
    ground_height_m: float | None = None
    sensor_width_mm: float | None = None
    alignment: Path | None = None
    height_m: float | None = None
    focal_35mm: float | None = None
    pitch_deg: float | None = None
    telemetry: Path | None = None
    telemetry_offset_s: float | None = None
    telemetry_rate_hz: float | None = None
    rules: str | None = None
    route: Path | None = None
    route_crs: str | None = None
    section_length_m: float = DEFAULT_SECTION_M
    whole_frame: bool = False
    annotate: bool = False
    seconds: float | None = None
    workers: int | None = None
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError for a value that makes no sense for any input."""
        check_scale_options(self.gsd_mm, self.ground_height_m, None, self.sensor_width_mm)
        for name, value, what in (
            ("--height-m", self.height_m, "the camera's height above the road in m"),
            ("--focal-35mm", self.focal_35mm, "the 35-mm-equivalent focal length in mm"),
            ("--seconds", self.seconds, "how many seconds to survey"),
            ("--section-length-m", self.section_length_m, "the length of a section in m"),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} is {value:g}; give {what}, above 0")
        if self.least_confidence is not None and not 0.0 <= self.least_confidence <= 1.0:
            raise SettingsError(f"--least-confidence is {self.least_confidence:g}; give 0 (keep all) to 1")
        if not 0.25 <= self.scale <= 4:
            raise SettingsError(f"--scale is {self.scale:g}; give a factor from 0.25 to 4")
        if self.pitch_deg is not None and not -90 <= self.pitch_deg <= -20:
            raise SettingsError(f"--pitch-deg is {self.pitch_deg:g}; give -90 (straight down) to -20")
        if self.workers is not None and not 1 <= self.workers <= 64:
            raise SettingsError(f"--workers is {self.workers}; give 1 to 64")
        for option, path in (
            ("--mask", self.mask), ("--route", self.route), ("--alignment", self.alignment),
            ("--telemetry", self.telemetry),
        ):  # fmt: skip
            if path is not None and not path.exists():
                raise SettingsError(f"{option} {path} does not exist; check the path")

    def options(self) -> dict[str, Any]:
        """All options as plain values, for ``settings.yaml``; addresses of streams lose their passwords."""
        raw = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("overwrite", "quiet", "debug")}
        raw["sources"] = [shown_source(s) for s in self.sources]
        return {k: str(v) if isinstance(v, Path) else v for k, v in raw.items()}


def shown_source(source: str) -> str:
    """A source as it may be shown and kept: addresses of streams without what is secret in them.

    >>> shown_source("rtsp://pilot:s3cret@drone/live?token=1"), shown_source("/dev/video0"), shown_source("photos")
    ('rtsp://drone/live', '/dev/video0', 'photos')
    """
    return shown_address(source) if is_stream(source) and "://" in source else source


def read_request(path: Path, **given: Any) -> SurveyRequest:
    """The request of an earlier run.

    Args:
        path: A ``settings.yaml``.
        given: Options of this call; they go before those of the file.
    Raises:
        SettingsError: The file is none of ours.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        options = dict(content["options"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} holds no settings of a survey; give the settings.yaml of a run") from error
    known = {f.name: f for f in fields(SurveyRequest)}
    strange = sorted(set(options) - set(known))
    if strange:
        raise SettingsError(f"{path} names options that are not known: {', '.join(strange)}; correct or delete them")
    merged = options | given
    if not merged.get("sources") or not merged.get("out"):
        raise SettingsError(f"{path} names no sources or no folder for results; give SOURCE and --out")
    try:
        return TypeAdapter(SurveyRequest).validate_python(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}: '{where}' has a value of the wrong kind ({first['msg']}); correct it") from error


_REPORTED = {
    "rules": "rules", "route": "route", "route_crs": "route", "section_length_m": "section length",
    "least_confidence": "least confidence",
}  # fmt: skip


def describe_changes(changed: Sequence[str], *, older: bool = False) -> str:
    """What a run does whose `fissura.survey.run_folder.REPORTING` options are other ones than before.

    Args:
        changed: Their names.
        older: An older version began the run; of the finished videos and GeoTIFFs of those too little is kept.

    >>> describe_changes(["rules"])
    'other rules than before: finds are rated anew, photos and videos are not looked at again'
    >>> describe_changes(["least_confidence", "section_length_m"])
    'other section length and least confidence than before: finds are measured anew, photos are not looked at again'
    """
    names = list(dict.fromkeys(name for key, name in _REPORTED.items() if key in changed))
    what = "finds are rated anew" if "rules" in names else "sections are made anew"
    kept = "photos and videos are"
    if "least confidence" in names:
        what, kept = "finds are measured anew", "photos are"
    elif "rules" in names and older:
        kept = "photos are"
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"other {listed} than before: {what}, {kept} not looked at again"


def describe_settings(
    request: SurveyRequest, segmenter: Segmenter | None, alignment: Mapping[str, AlignedPhoto] | None = None
) -> dict[str, Any]:
    """Everything that results depend on, besides the inputs, as plain values.

    Args:
        request: Options.
        segmenter: The network; None if masks are given.
        alignment: What ``request.alignment`` holds.
    """
    result = {k: v for k, v in request.options().items() if k not in _NOT_RESULTS}
    for name in ("mask", "telemetry", "route"):
        path = getattr(request, name)
        if path is not None and path.is_file():
            result[name] = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    if request.alignment is not None:
        # Of its poses: they come from several files of a project.
        poses = json.dumps({name: asdict(photo) for name, photo in (alignment or {}).items()}, sort_keys=True)
        result["alignment"] = f"{request.alignment.name} {hashlib.sha256(poses.encode()).hexdigest()[:12]}"
    if request.rules is not None and Path(request.rules).is_file():
        text = Path(request.rules).read_bytes()
        result["rules"] = f"{Path(request.rules).name} {hashlib.sha256(text).hexdigest()[:12]}"
    if segmenter is not None:
        card = segmenter.card
        checksum = hashlib.sha256(card.model_dump_json().encode()).hexdigest()[:12]
        result |= {
            "model": f"{card.name} {card.version} {checksum}", "engine": segmenter.backend.description,
            "threshold": segmenter.threshold,
        }  # fmt: skip
    return result
