"""Videos by PyAV (FFmpeg): frame-threaded, pixels converted only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error

from fissura.errors import ImageError
from fissura.imaging.video_av_frame import AvFrame, find_turn
from fissura.imaging.video_faults import explain_unreadable, is_cut_off
from fissura.imaging.video_frame import Turn, VideoFrame, VideoInfo
from fissura.imaging.video_order import DisplayOrder, FrameClock
from fissura.imaging.video_queue import ReadLog
from fissura.imaging.video_source import CHECK_ADDRESS, DecodeOptions, Source

FIRST_KEY_WITHIN = 300
"""After so many packets without a key frame decoding starts anyway: some streams refresh gradually."""
DEFAULT_FPS = 30.0
"""Where neither a rate nor time stamps are known."""
_NO_VIDEO_CODECS = {"ansi", "bintext", "xbin", "idf"}
"""FFmpeg draws text files."""
_MOST_READ_ERRORS = 10
_TRC_NAMES = {16: "PQ", 18: "HLG"}


class AvSource:
    """An open file or stream. Belongs to the thread that made it."""

    def __init__(self, source: Source, options: DecodeOptions, log: ReadLog) -> None:
        self._source, self._log = source, log
        self._skips = options.skip_nonreference
        self._container = self._open(options)
        try:
            self._stream = self._find_stream()
            context = self._stream.codec_context
            context.thread_type = "AUTO"
            context.thread_count = options.threads
            if options.skip_nonreference:
                context.skip_frame = "NONREF"
        except BaseException:
            self._container.close()
            raise
        self._fps = self._find_fps()
        self._order = DisplayOrder()
        self._clock = FrameClock(1 / (self._fps or DEFAULT_FPS))
        self._turn: Turn | None = None
        self._size_hw: tuple[int, int] | None = None
        self._fault = False
        self.live = source.is_live and not (self._duration_s() and self._container.size > 0)

    def close(self) -> None:
        """Let the file or the connection go."""
        self._container.close()

    def describe(self, first: VideoFrame) -> VideoInfo:
        """What is known once the first frame has been decoded."""
        context = self._stream.codec_context
        return VideoInfo(
            self._source.shown, first.size_hw, self._fps, None if self.live else self._duration_s(),
            self._stream.frames or None, getattr(context.codec, "canonical_name", context.name),
            (self._turn or Turn()).rotation_deg, self.live, "PyAV",
        )  # fmt: skip

    def frames(self) -> Iterator[AvFrame]:
        """Decode to the end, or to where nothing more can be decoded.

        Raises:
            ImageError: A live stream broke off.
        """
        broken: ImageError | None = None
        try:
            for packet in self._packets():
                yield from self._decode(packet)
        except ImageError as error:
            broken = error
        # What the decoder still holds came before the break.
        yield from self._decode(None)
        lost = self._order.rest()
        if not self._skips:
            self._log.damaged += lost
        if broken is not None:
            raise broken

    def _open(self, options: DecodeOptions) -> Any:
        timeouts = (options.timeout_s, options.timeout_s) if self._source.is_live else None
        try:
            return av.open(
                self._source.address,
                options=self._source.ffmpeg_options(),
                timeout=timeouts,
                metadata_errors="replace",
            )
        except av.error.FFmpegError as error:
            if self._source.path is not None:
                raise explain_unreadable(self._source.path, _reason(error)) from error
            # "from None": FFmpeg's error holds the address with the password.
            raise ImageError(f"{self._source.shown} cannot be opened: {_reason(error)}; {CHECK_ADDRESS}") from None

    def _find_stream(self) -> Any:
        shown = self._source.shown
        streams = [s for s in self._container.streams.video if not _is_cover(s)]
        usable = [s for s in streams if s.codec_context is not None and s.codec_context.name not in _NO_VIDEO_CODECS]
        if usable and "_pipe" not in self._container.format.name and self._container.format.name != "image2":
            return usable[0]
        if streams and not usable and streams[0].codec_context is None:
            raise ImageError(
                f"{shown} holds a video in a format that FFmpeg cannot decode, or is damaged; "
                "convert it to H.264, or copy it again from the card"
            )
        kinds = {s.type for s in self._container.streams} if not streams else set()
        if "audio" in kinds:
            raise ImageError(f"{shown} holds sound only, no video; give the video of the same flight")
        raise ImageError(f"{shown} holds no video (it was read as {self._container.format.long_name})")

    def _find_fps(self) -> float | None:
        stream = self._stream
        # Bare H.264 and streams state no mean rate of their own (FFmpeg says 25); the guess looks into the pictures.
        rates = (stream.average_rate, stream.guessed_rate)
        for rate in rates if self._duration_s() else rates[::-1]:
            if rate and 0.1 <= rate <= 1000:
                return float(rate)
        return None

    def _duration_s(self) -> float | None:
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    def _packets(self) -> Iterator[Any]:
        """Packets from the first key frame on. Read errors are passed over, up to a limit."""
        waiting, errors = 0, 0
        demux = self._container.demux(self._stream)
        while True:
            try:
                packet = next(demux)
            except (StopIteration, av.error.EOFError, IndexError):
                # IndexError: PyAV stumbles, at the end, over streams that a damaged file announced midway.
                break
            except av.error.FFmpegError as error:
                if self.live:
                    raise ImageError(f"{self._source.shown} broke off: {_reason(error)}") from None
                errors += 1
                self._fault = True
                if errors >= _MOST_READ_ERRORS or not isinstance(error, av.error.InvalidDataError):
                    self._log.note_early_end(f"reading ended early: {_reason(error)}")
                    break
                demux = self._container.demux(self._stream)
                continue
            if packet.size == 0:
                continue
            errors = 0
            if waiting >= 0 and not packet.is_keyframe and waiting < FIRST_KEY_WITHIN:
                waiting += 1
                self._log.before_key += 1
                self._order.pass_over(packet.pts)
                continue
            waiting = -1
            # Half a packet at a cut. Transport streams mark those that miss a piece, and most of those still decode.
            if packet.is_corrupt and self._container.format.name != "mpegts":
                self._order.push(packet.pts)
                self._note_fault()
                continue
            yield packet
        if not self.live:
            self._note_missing_end()

    def _decode(self, packet: Any) -> Iterator[AvFrame]:
        if packet is not None and not packet.is_discard:
            self._order.push(packet.pts)
        try:
            decoded = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            self._note_fault()
            return
        for frame in decoded:
            if frame.is_corrupt:
                self._note_fault()
            else:
                yield self._finish(frame)

    def _finish(self, frame: av.VideoFrame) -> AvFrame:
        if self._turn is None:
            self._turn = find_turn(frame)
            self._note_first(frame)
        first_stamp = self._order.first
        index, lost = self._order.pop(frame.pts)
        if lost and not self._skips:
            # Frames shown before the first key frame but stored after it need frames that are not there.
            if self._size_hw is None:
                self._log.before_key += lost
            else:
                self._log.damaged += lost
                self._fault = True
        if frame.key_frame:
            self._fault = False
        stored_hw = frame.height, frame.width
        if self._size_hw not in (None, stored_hw):
            self._log.note(f"the frames' size changes to {frame.width}x{frame.height} at frame {index}")
        self._size_hw = stored_hw
        base = self._stream.time_base or Fraction(1, 1)
        stamp_s, first_s = (None if pts is None else float(pts * base) for pts in (frame.pts, first_stamp))
        time_s = self._clock.time_s(stamp_s, index, first_stamp_s=first_s)
        if self._clock.restarts:
            self._log.note("time stamps start again within the video; times are continued from there")
        return AvFrame(frame, self._turn, index, time_s, damaged=self._fault)

    def _note_fault(self) -> None:
        self._fault = True
        if self._skips:
            # Otherwise the gap it leaves is counted, which misses nothing.
            self._log.damaged += 1

    def _note_first(self, frame: av.VideoFrame) -> None:
        note = self._log.note
        if frame.interlaced_frame:
            note("the video is interlaced: its frames show combs where things move; film with progressive frames")
        aspect = self._stream.sample_aspect_ratio
        if aspect and aspect != 1:
            note(f"pixels are not square ({aspect.numerator}:{aspect.denominator}); frames are given as stored")
        # PyAV tells since version 16.
        hdr = _TRC_NAMES.get(int(getattr(frame, "color_trc", 0)))
        if hdr:
            note(f"the video is HDR ({hdr}); its colours are not mapped to normal ones")
        if self._turn is not None and self._turn.is_mirrored:
            note("the video says that it is to be shown mirrored; it is")

    def _note_missing_end(self) -> None:
        """Say so if the end that the file states was not reached."""
        missing, path = self._missing(), self._source.path
        if path is not None and is_cut_off(path):
            self._log.note_early_end(f"{path.name} was cut off: {missing or 'its last part is missing'}")
        elif missing:
            self._log.note_early_end(f"{self._source.shown} is not complete: {missing}")

    def _missing(self) -> str:
        order, stated_s, base = self._order, self._duration_s(), self._stream.time_base
        stated, is_mov = self._stream.frames, "mov" in self._container.format.name
        # In MP4 an edit list may leave out frames on purpose.
        if not is_mov and order.packets < stated - max(3, 0.02 * stated):
            return f"it ends after {order.packets} of the {stated} frames that its head states"
        if order.first is None or order.last is None or not base or not stated_s:
            return ""
        reached_s = float((order.last - order.first) * base) + 1 / (self._fps or DEFAULT_FPS)
        # Without a duration of the video's own, the sound may be longer.
        tolerance_s = max(0.25 if self._stream.duration else 0.5, 0.02 * stated_s)
        if reached_s < stated_s - tolerance_s:
            return f"it ends after {reached_s:.1f} of the {stated_s:.1f} s that its head states"
        return ""


def _reason(error: Any) -> str:
    """FFmpeg's words without the address, which may hold a password."""
    if isinstance(error, getattr(av.error, "ExitError", ())):
        return "no data came in time"
    return str(error.strerror or type(error).__name__)


def _is_cover(stream: Any) -> bool:
    """A still picture inside a sound or video file."""
    disposition = getattr(stream, "disposition", None)
    return bool(disposition is not None and disposition & type(disposition).attached_pic)
