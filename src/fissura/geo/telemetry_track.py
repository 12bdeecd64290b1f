"""Subtitle tracks inside videos, by PyAV, without reading the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.error

from fissura.geo.telemetry_srt import Cue

_MP4_TEXT = {"mov_text", "tx3g"}
_TEXT_CODECS = _MP4_TEXT | {"subrip", "srt", "text", "ass", "ssa", "webvtt"}


def read_subtitle_tracks(video: Path) -> list[list[Cue]]:
    """The subtitles of each text track that has any, as far as the file can be read."""
    cues: dict[int, list[Cue]] = {}
    try:
        with av.open(str(video.absolute()), metadata_errors="replace") as container:
            streams = [s for s in container.streams.subtitles if s.codec_context is not None]
            tracks = [s for s in streams if s.codec_context.name in _TEXT_CODECS]
            for stream in container.streams:
                if stream.index not in {track.index for track in tracks}:
                    _pass_over(stream)
            for packet in container.demux(*tracks) if tracks else ():
                text = _text(packet)
                if text and packet.pts is not None:
                    cue = Cue(float(packet.pts * packet.time_base), text)
                    cues.setdefault(packet.stream_index, []).append(cue)
    except (av.error.FFmpegError, OSError):
        # Whatever was read before a cut counts; that the video is damaged is for its reader to say.
        pass
    return list(cues.values())


def read_frame_rate(video: Path) -> tuple[float | None, int | None]:
    """Mean frames a second and number of frames, as the file states them."""
    try:
        with av.open(str(video.absolute()), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            return (float(stream.average_rate) if stream.average_rate else None), stream.frames or None
    except (av.error.FFmpegError, OSError, IndexError):
        return None, None


def _text(packet: Any) -> str:
    data = bytes(packet) if packet.size else b""
    if packet.stream.codec_context.name in _MP4_TEXT:
        # Two bytes of length, the text, then its formatting.
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    return data.decode("utf-8", errors="replace").strip("\0 \r\n")


def _pass_over(stream: Any) -> None:
    """Gigabytes of pictures are skipped, not read, where PyAV can say so (version 18 can)."""
    if hasattr(stream, "discard"):
        stream.discard = type(stream.discard).all
