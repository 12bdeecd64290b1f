"""Read the metadata of an ONNX file without the ``onnx`` package.

An ONNX file is one protobuf message, `ModelProto`. Of its fields only number 14 (``metadata_props``, a list of
key and value strings) matters here; the others, among them the graph with the weights, are skipped by seeking.
Format: https://protobuf.dev/programming-guides/encoding/ and onnx.proto.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from fissura.errors import ModelError
from fissura.spec import ModelCard

_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_card(path: Path) -> ModelCard:
    """The model card in an ONNX file.

    Raises:
        ModelError: The file is missing, unreadable, no ONNX, or holds no sound card.
    """
    return ModelCard.from_metadata(read_onnx_metadata(path), source=str(path))


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """All metadata entries of an ONNX file.

    Raises:
        ModelError: The file is missing, unreadable or no ONNX.
    """
    if path.is_dir():
        raise ModelError(f"{path} is a folder; name an .onnx file in it")
    try:
        with path.open("rb") as file:
            return _read_model(file, path.stat().st_size)
    except FileNotFoundError as error:
        raise ModelError(f"model file {path} does not exist; check the path or see 'fissura models'") from error
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise ModelError(
            f"{path} is not an ONNX file or is cut short ({error}); export it again with 'fissura export'"
        ) from error


def _read_model(file: BinaryIO, size: int) -> dict[str, str]:
    metadata: dict[str, str] = {}
    seen = set()
    while file.tell() < size:
        tag = _read_varint(file)
        field, wire = tag >> 3, tag & 7
        seen.add((field, wire))
        if wire == _BYTES:
            length = _read_varint(file)
            if file.tell() + length > size:
                raise ValueError("a field is longer than the file")
            if field == _METADATA_PROPS:
                key, value = _parse_entry(file.read(length))
                metadata[key] = value
            else:
                file.seek(length, 1)
        elif wire == _VARINT:
            _read_varint(file)
        elif wire in (_FIXED64, _FIXED32):
            file.seek(8 if wire == _FIXED64 else 4, 1)
        else:
            raise ValueError(f"wire type {wire} at byte {file.tell()}")
    if not {(_IR_VERSION, _VARINT), (_GRAPH, _BYTES)} <= seen:
        raise ValueError("no graph in it")
    return metadata


def _parse_entry(data: bytes) -> tuple[str, str]:
    """A `StringStringEntryProto`: field 1 is the key, field 2 the value."""
    parts = {1: b"", 2: b""}
    position = 0
    while position < len(data):
        tag, position = _varint_at(data, position)
        length, position = _varint_at(data, position)
        if tag & 7 != _BYTES or position + length > len(data):
            raise ValueError("damaged metadata")
        parts[tag >> 3] = data[position : position + length]
        position += length
    return parts[1].decode(), parts[2].decode()


def _varint_at(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        shift, position = shift + 7, position + 1
        if byte < 0x80:
            return value, position
    raise ValueError("damaged number")


def _read_varint(file: BinaryIO) -> int:
    value = shift = 0
    while shift < 64:
        byte = file.read(1)
        if not byte:
            raise EOFError("ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return value
    raise ValueError("damaged number")
