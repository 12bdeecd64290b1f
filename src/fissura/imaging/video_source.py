"""`Source`: what the user named: a file, a stream's address or a camera; never shown with passwords."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from fissura.errors import SettingsError
from fissura.imaging.media import is_stream
from fissura.imaging.video_frame import VideoFrame, VideoInfo

CHECK_ADDRESS = "check the address, and that the sender is running and can be reached"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SECRET = re.compile(r"((?:pass(?:word|wd)?|pwd|token|secret|key|auth|user(?:name)?)[=:])[^/&;,_\s]+", re.IGNORECASE)


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode.

    Attributes:
        skip_nonreference: Leave out frames that no other frame needs, where the video has such.
        threads: Decoding threads; 0 is one for each core.
        timeout_s: How long a stream may be silent.
    """

    skip_nonreference: bool = False
    threads: int = 0
    timeout_s: float = 10.0


@dataclass(frozen=True)
class Source:
    """Where a video comes from.

    Attributes:
        address: What the decoder opens. It may hold a password: never shown.
        shown: What messages say.
        path: The file; None for streams and cameras.
        camera: Number of a camera; None for files and streams.
    """

    address: str
    shown: str
    path: Path | None = None
    camera: int | None = None

    @property
    def is_live(self) -> bool:
        """A stream or a camera."""
        return self.path is None

    def ffmpeg_options(self) -> dict[str, str]:
        """Options of FFmpeg that make this kind of source robust."""
        if not self.is_live:
            return {}
        scheme = self.address.split("://")[0].lower()
        options = {"analyzeduration": "2000000"}
        if scheme.startswith("rtsp"):
            # Over UDP every lost packet smears the picture up to the next key frame.
            options["rtsp_flags"] = "prefer_tcp"
        elif scheme == "udp":
            options |= {"fifo_size": "50000", "overrun_nonfatal": "1"}
        elif scheme.startswith("http"):
            # Takes a recording on a web server up where the connection broke; streams are connected anew by us.
            options |= {"reconnect": "1", "reconnect_delay_max": "4"}
        return options


class OpenVideo(Protocol):
    """What a decoder makes of a source. Belongs to the thread that made it."""

    live: bool

    def describe(self, first: VideoFrame) -> VideoInfo:
        """What is known once the first frame has been decoded."""
        ...

    def frames(self) -> Iterator[VideoFrame]:
        """Decode to the end."""
        ...

    def close(self) -> None:
        """Let the file or the connection go."""
        ...


def parse_source(source: str | Path | int) -> Source:
    """Tell files, addresses and cameras apart.

    Raises:
        SettingsError: An address of an unknown kind, or a camera number below 0.

    >>> parse_source("rtsp://pilot:s3cret@10.0.0.7/live?token=abc").shown
    'rtsp://10.0.0.7/live'
    """
    if isinstance(source, int):
        source = str(source)
        if source.startswith("-"):
            raise SettingsError(f"camera {source} does not exist; give 0 or more")
    text = str(source)
    if isinstance(source, str) and is_stream(source):
        if source.isdigit():
            return Source(source, f"camera {source}", camera=int(source))
        if source.startswith("/dev/video"):
            number = source.removeprefix("/dev/video")
            if not number.isdigit():
                raise SettingsError(f"{source} is no camera device such as /dev/video0")
            return Source(source, source, camera=int(number))
        return Source(source, shown_address(source))
    if isinstance(source, str) and _ADDRESS.match(text) and not Path(text).exists():
        scheme = text.split("://")[0]
        raise SettingsError(
            f"addresses with {scheme}:// cannot be read; give a file, or an address with rtsp, http, https, udp, rtp, "
            "rtmp, tcp or srt"
        )
    # Made absolute: FFmpeg would take "a:b.mp4" for an address.
    return Source(os.path.abspath(text), text, path=Path(text))


def shown_address(address: str) -> str:
    """An address without user, password, query and what looks like a secret in its path.

    >>> shown_address("http://admin:a@b@cam.example:8080/user=x_password=y_channel=1.sdp#frag")
    'http://cam.example:8080/user=***_password=***_channel=1.sdp'
    """
    scheme, _, rest = address.partition("://")
    try:
        parts = urlsplit(f"http://{rest}")
        place = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme}://***"
    # An "@" that belongs to a password may come after a "/" that does, too.
    path = parts.path.rpartition("@")[2] if "@" in parts.path else parts.path
    path = _SECRET.sub(r"\g<1>***", path)
    return f"{scheme.lower()}://{place}{port}{path}"


def camera_advice() -> str:
    """What to do when a camera cannot be opened."""
    if sys.platform.startswith("linux"):
        return "check that /dev/video* exists, that it may be read (group video), and that no other program uses it"
    return "check that it is connected and that no other program uses it"
