"""A decoder as one safetensors file, which is how it travels; it is named by the hash of that file."""

import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..decoding.info import REFERENCES, TENSORS, DecoderInfo, check_tensor_files, decoder_info
from ..errors import NeurratorError

_PARTS = {"decoder": TENSORS, "references": REFERENCES}
_DESCRIPTION = "decoder.json"
_NAME = re.compile(r"(decoder|references)/[A-Za-z0-9_.\-]{1,200}")
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U16", "U32", "U64", "BOOL"}
_HEADER, _TENSORS, _DIMENSIONS = 16 << 20, 10_000, 6
_CHUNK = 1 << 20


def decoder_hash(folder: str | Path) -> str:
    """Return ``sha256:`` and the hash of a decoder's folder, as `packed` would send it.

    Raises
    ------
    NeurratorError
        There is no decoder in the folder, or it is damaged.
    """
    decoder_info(folder)
    folder = Path(folder).expanduser().resolve()
    return _hash(folder, tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in _files(folder)))


@lru_cache(maxsize=64)
def _hash(folder: Path, _: tuple) -> str:
    check_tensor_files(folder, decoder_info(folder))
    digest = hashlib.sha256()
    for chunk in packed(folder):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def packed(folder: str | Path) -> Iterator[bytes]:
    """Yield a decoder's folder as one safetensors file: ``decoder.json`` in its metadata, tensors as ``decoder/NAME`` and ``references/NAME``."""
    folder = Path(folder).expanduser()
    tensors: dict[str, Any] = {}
    begins, length = [], 0
    try:
        for part, name in _PARTS.items():
            if not (folder / name).is_file():
                continue
            header, begin = _header(folder / name)
            for tensor, entry in header.items():
                if tensor != "__metadata__":
                    low, high = entry["data_offsets"]
                    tensors[f"{part}/{tensor}"] = {**entry, "data_offsets": [low + length, high + length]}
            begins.append((folder / name, begin))
            length += (folder / name).stat().st_size - begin
        description = (folder / _DESCRIPTION).read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NeurratorError(f"The decoder in {folder} is damaged: fit it again.") from error
    yield _header_bytes({"__metadata__": {_DESCRIPTION: description}, **dict(sorted(tensors.items()))})
    for file, begin in begins:
        with file.open("rb") as stream:
            stream.seek(begin)
            while chunk := stream.read(_CHUNK):
                yield chunk


def unpack(file: Path, folder: Path, profiles: list[str]) -> DecoderInfo:
    """Check a file that `packed` made, as if it came from an enemy, and write the decoder's folder.

    Parameters
    ----------
    file : Path
        What was sent.
    folder : Path
        Written; it does not exist yet.
    profiles : list of str
        Profiles that the decoder may name.

    Raises
    ------
    NeurratorError
        It is no safetensors file, or holds something else than a decoder.
    """
    header, begin = _checked_header(file)
    description = header.get("__metadata__", {}).get(_DESCRIPTION)
    if not isinstance(description, str):
        raise NeurratorError("The file is no decoder: its metadata holds no decoder.json.")
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".receiving-"))
    try:
        (made / _DESCRIPTION).write_text(description, encoding="utf-8")
        try:
            info = decoder_info(made)
        except NeurratorError as error:
            raise NeurratorError(str(error).replace(f" in {made}", "")) from error
        if info.profile not in profiles:
            raise NeurratorError(
                f"The decoder needs the profile {info.profile!r}, and this server has {', '.join(profiles)}: fit it with one of these."
            )
        _check_shapes(header, info)
        for part, name in _PARTS.items():
            _write_part(file, begin, header, part, made / name)
        try:
            os.replace(made, folder)
        except OSError:
            # The same decoder may have come twice at once.
            if not (folder / _DESCRIPTION).is_file():
                raise
    finally:
        import shutil

        shutil.rmtree(made, ignore_errors=True)
    return info


def _check_shapes(header: dict[str, Any], info: DecoderInfo) -> None:
    typical = header.get("decoder/typical_grids")
    if typical is None or tuple(typical["shape"][1:]) != info.grid:
        raise NeurratorError(
            "The file is no decoder: its typical grids are missing or have another shape than decoder.json says."
        )
    grids = header.get("references/grids")
    if grids is not None and tuple(grids["shape"][1:]) != info.grid:
        raise NeurratorError("The file is no decoder: its reference grids have another shape than decoder.json says.")


def _checked_header(file: Path) -> tuple[dict[str, Any], int]:
    from safetensors import SafetensorError, safe_open

    try:
        # The library checks that names, shapes, dtypes and places agree with the size of the file.
        with safe_open(file, framework="numpy"):
            pass
        header, begin = _header(file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise NeurratorError(
            "The file is not in the safetensors format, in which alone decoders are taken (a pickle is not)."
        ) from error
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(tensors) > _TENSORS:
        raise NeurratorError(f"The file holds {len(tensors)} tensors; a decoder has at most {_TENSORS}.")
    for name, entry in tensors.items():
        if not _NAME.fullmatch(name) or entry["dtype"] not in _DTYPES or len(entry["shape"]) > _DIMENSIONS:
            raise NeurratorError(
                f"The file is no decoder: it holds {name[:80]!r}, {entry['dtype']} {entry['shape'][:8]}."
            )
    return header, begin


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header and where its data begins."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        if length > _HEADER:
            raise ValueError("the header is too long")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no table")
    return header, 8 + length


def _header_bytes(header: dict[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _write_part(file: Path, begin: int, header: dict[str, Any], part: str, target: Path) -> None:
    """Write the tensors of one part as a safetensors file of their own; none is written where there are none."""
    prefix = f"{part}/"
    entries = sorted(
        ((name.removeprefix(prefix), entry) for name, entry in header.items() if name.startswith(prefix)),
        key=lambda item: item[1]["data_offsets"],
    )
    if not entries:
        return
    own, place = {}, 0
    for name, entry in entries:
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        own[name] = {**entry, "data_offsets": [place, place + size]}
        place += size
    with file.open("rb") as source, target.open("wb") as out:
        out.write(_header_bytes(own))
        for _, entry in entries:
            low, high = entry["data_offsets"]
            source.seek(begin + low)
            left = high - low
            while left:
                chunk = source.read(min(left, _CHUNK))
                if not chunk:
                    raise NeurratorError("The file ended early.")
                out.write(chunk)
                left -= len(chunk)


def _files(folder: Path) -> list[Path]:
    return [file for name in (_DESCRIPTION, *_PARTS.values()) if (file := folder / name).is_file()]
