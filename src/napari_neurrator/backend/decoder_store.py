"""The decoders that a server holds, each in a folder named by its hash."""

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ..decoding.info import DecoderInfo, decoder_info
from ..errors import NeurratorError
from ..profiles import list_profiles
from . import protocol as p
from .decoder_files import unpack

_OLD_S = 86_400.0


class DecoderStore:
    """Decoders by hash, the longest unused ones dropped when they take too much room.

    Parameters
    ----------
    folder : Path
        Where they lie.
    max_bytes : int
        Room for all of them.
    """

    def __init__(self, folder: Path, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes
        self._known: dict[Path, tuple[int, DecoderInfo]] = {}

    def folder_of(self, name: str) -> Path | None:
        """Return where the decoder of this name (``sha256:…``) lies, or None."""
        if not re.fullmatch(p.DECODER_HASH, name):
            return None
        folder = self.folder / name.removeprefix("sha256:")
        return folder if (folder / "decoder.json").is_file() else None

    def info(self, folder: Path) -> DecoderInfo:
        """Read what a decoder says of itself, again only if it changed; NeurratorError as for `decoder_info`."""
        file = folder / "decoder.json"
        stamp = file.stat().st_mtime_ns if file.is_file() else 0
        known = self._known.get(folder)
        if known is None or known[0] != stamp:
            known = self._known[folder] = (stamp, decoder_info(folder))
        return known[1]

    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> DecoderInfo:
        """Take in a decoder.

        Raises
        ------
        NeurratorError
            The bytes have another hash than the name says, or are no decoder.
        OSError
            The disk is full; nothing is left behind.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._drop_remains()
        handle, path = tempfile.mkstemp(dir=self.folder, prefix=".receiving-")
        file, digest = Path(path), hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as out:
                async for chunk in chunks:
                    digest.update(chunk)
                    out.write(chunk)
            if f"sha256:{digest.hexdigest()}" != name:
                raise NeurratorError("What arrived has another hash than the address says: send it again.")
            target = self.folder / name.removeprefix("sha256:")
            if self.folder_of(name) is None:
                await asyncio.to_thread(unpack, file, target, list_profiles())
            info = self.info(target)
        finally:
            file.unlink(missing_ok=True)
        self._make_room(target)
        return info

    def used(self, folder: Path) -> None:
        """Note that a decoder was asked for, so that others go first."""
        os.utime(folder)

    def _drop_remains(self) -> None:
        """Drop what a server left that was killed while it received."""
        for path in self.folder.glob(".receiving-*"):
            if time.time() - path.stat().st_mtime > _OLD_S:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _make_room(self, keep: Path) -> None:
        folders = [folder for folder in self.folder.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
        sizes = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in folders}
        for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime):
            if sum(sizes.values()) <= self.max_bytes:
                return
            if folder != keep:
                shutil.rmtree(folder, ignore_errors=True)
                del sizes[folder]
