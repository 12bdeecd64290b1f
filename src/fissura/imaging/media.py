"""Tell videos and streams from pictures by their names."""

from __future__ import annotations

import re
from pathlib import Path

VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .mkv .avi .webm .ts .mts .m2ts .mpg .mpeg .wmv .flv .3gp .lrv".split())
_STREAM = re.compile(r"(rtsps?|rtmp|https?|udp|rtp|tcp|srt)://", re.IGNORECASE)


def is_stream(source: str) -> bool:
    """An address such as ``rtsp://…``, a camera device, or a camera's number."""
    return (
        bool(_STREAM.match(source))
        or source.startswith("/dev/video")
        or (source.isdigit() and not Path(source).exists())
    )


def is_video(source: str) -> bool:
    """A stream, or a file with the suffix of a video."""
    return is_stream(source) or Path(source).suffix.lower() in VIDEO_SUFFIXES
