"""What is wrong with a video file, in words: before it is opened, and when a decoder has refused it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fissura.errors import ImageError
from fissura.imaging.find import IMAGE_SUFFIXES
from fissura.imaging.read import _looks_like

_ISO_START = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot"}
_PLAYLISTS = {".m3u8", ".m3u", ".sdp"}
_TEXT_HEAD = b"YUV4MPEG2"
_NO_INDEX = (
    "{} was cut off before its index was written (there is no moov box), so no frame of it can be found. Copy it again "
    "from the card. If the recording itself broke off: many drones repair it when switched on with the card inside; "
    "otherwise use a repair program such as untrunc with an intact video of the same camera"
)


def check_video_file(path: Path) -> None:
    """Refuse what no decoder needs to try.

    Raises:
        ImageError: The file is missing, a folder, empty, unreadable, a picture or text.
    """
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not a video; give the video files in it")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist; check the path") from error
    except PermissionError as error:
        raise ImageError(f"{path} cannot be opened: permission denied") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}); check the disk or card") from error
    if not head:
        raise ImageError(f"{path.name} is empty (0 bytes); copy it again from the card")
    if not any(head):
        raise ImageError(f"{path.name} begins with zeros only: copying it broke off; copy it again from the card")
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES - {".gif"}:
        raise ImageError(f"{path.name} is a picture, not a video; give pictures as they are, or as a folder")
    # FFmpeg would draw a text file as one.
    if "text" in (kind := _looks_like(path)) and not head.startswith(_TEXT_HEAD) and suffix not in _PLAYLISTS:
        raise ImageError(f"{path.name} is no video ({kind}); give the video itself")


def explain_unreadable(path: Path, reason: str) -> ImageError:
    """The error for a file that a decoder refused."""
    boxes = [kind for kind, _, _ in _iso_boxes(path)]
    if boxes and boxes[0] in _ISO_START:
        if not {b"moov", b"moof"} & set(boxes):
            return ImageError(_NO_INDEX.format(path.name))
        return ImageError(f"{path.name} is damaged: its index cannot be read ({reason}); copy it again from the card")
    return ImageError(f"{path.name} is no video that can be read ({_looks_like(path)}; the decoder says: {reason})")


def is_cut_off(path: Path) -> bool:
    """An MP4 or MOV file whose last box reaches beyond the end of the file."""
    size = path.stat().st_size
    boxes = list(_iso_boxes(path))
    return bool(boxes) and boxes[0][0] in _ISO_START and boxes[-1][2] > size


def _iso_boxes(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the boxes at the top level, as far as they make sense."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if not all(32 <= letter < 127 for letter in kind):
                return
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:
                length = size - at
            if length < 8:
                return
            yield kind, at, at + length
            at += length
