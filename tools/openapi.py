"""Write the server's OpenAPI document to docs/openapi.json: ``python -m tools.openapi``."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """Return the document."""
    from napari_neurrator.backend.api import make_app
    from napari_neurrator.backend.decoder_store import DecoderStore
    from napari_neurrator.backend.limits import Limits

    limits = Limits()
    return make_app(lambda *_: [], DecoderStore(Path("unused"), limits.store_bytes), limits, []).openapi()


def text() -> str:
    """Return it as it is checked in."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write it."""
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
