"""Layers of this plugin as one JSON file (``.neurrator``), which napari's File → Save Selected Layers writes and dropping it opens again.

The movie is not copied: the file names the recording, the stimulus and the file of frames, and they are opened again.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..errors import NeurratorError
from ..session_file import read_model
from ..writing import write_text
from .frames import Frames
from .layer_data import LayerTuple

SUFFIX = ".neurrator"
MOST_VALUES = 4_000_000
"""Values of an image that are written as numbers; heatmaps are small, and a larger picture has better formats."""
_COMMON = ("name", "opacity", "visible", "scale", "translate", "blending", "metadata")
_OWN: dict[str, tuple[str, ...]] = {
    "points": ("size", "face_color", "border_color", "border_width", "border_width_is_relative", "symbol", "shown", "shading", "antialiasing"),
    "shapes": ("shape_type", "edge_color", "face_color", "edge_width"),
    "vectors": ("edge_color", "edge_width", "vector_style"),
    "image": ("rgb", "contrast_limits", "interpolation2d"),
}  # fmt: skip
Kind = Literal["points", "shapes", "vectors", "image", "movie"]


class SavedLayer(BaseModel):
    """One layer: for a movie, `options` says where its frames are."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    data: JsonValue = None
    options: dict[str, JsonValue] = {}
    features: dict[str, list[JsonValue]] = {}


class LayerFile(BaseModel):
    """The contents of a file of layers."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["neurrator layers"] = "neurrator layers"
    format: Literal[1] = 1
    layers: list[SavedLayer] = Field(min_length=1)


def write_layers(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write layers, as npe2 calls a writer of several layers.

    Raises
    ------
    NeurratorError
        A layer is of a kind that cannot be written, or the folder does not let it.
    """
    file = LayerFile(layers=[_saved(*layer) for layer in layers])
    try:
        write_text(path, file.model_dump_json() + "\n")
    except OSError as error:
        raise NeurratorError(f"The layers could not be written to {path}: {error.strerror or error}.") from error
    return [path]


def read_layers(path: str | Path) -> list[LayerTuple]:
    """Read a file of layers as napari layer tuples.

    Raises
    ------
    NeurratorError
        It is not such a file, or the recording of a movie in it is gone.
    """
    file = read_model(Path(path), LayerFile, "a file of Neurrator layers")
    found = []
    for layer in file.layers:
        try:
            found.append(_layer(layer))
        except (ValueError, TypeError) as error:
            name = layer.options.get("name", layer.kind)
            raise NeurratorError(f"{path} is damaged: the layer {name!r} cannot be made ({error}).") from error
    return found


def _saved(data: Any, options: dict[str, Any], kind: str) -> SavedLayer:
    name = options.get("name", kind)
    if isinstance(data, Frames):
        return SavedLayer(kind="movie", options={"name": name, "metadata": _plain(options.get("metadata", {}))})
    if kind not in _OWN:
        raise NeurratorError(f"A layer of {kind} ({name}) cannot be written into a {SUFFIX} file; deselect it.")
    if kind == "image" and np.size(data) > MOST_VALUES:
        raise NeurratorError(f"The image {name} is too large for a {SUFFIX} file; save it as TIFF.")
    kept = {key: _plain(options[key]) for key in (*_COMMON, *_OWN[kind]) if options.get(key) is not None}
    features = pd.DataFrame(options["features"]) if options.get("features") is not None else pd.DataFrame()
    if kind == "shapes":
        # what the mouse drew in data units is kept in world coordinates by scale and translate
        kept["ndim"] = int(options.get("ndim") or (np.asarray(data[0]).shape[1] if len(data) else 2))
    text = options.get("text")
    if isinstance(text, dict) and kind in ("points", "shapes"):
        kept["text"] = _plain(_text(text))
    return SavedLayer(
        kind=kind,  # type: ignore[arg-type]
        data=_plain([np.asarray(shape) for shape in data] if kind == "shapes" else np.asarray(data)),
        options=kept,
        features={str(column): _plain(features[column].to_numpy()) for column in features},
    )


def _text(text: dict[str, Any]) -> dict[str, Any]:
    """Return the plain part of a layer's text: the words of each point, their colours and size."""
    string, colour = text.get("string", {}), text.get("color", {})
    words = string.get("array") if isinstance(string, dict) else None
    if words is None:
        return {}
    colours = colour.get("array", colour.get("constant")) if isinstance(colour, dict) else None
    kept: dict[str, Any] = {key: text[key] for key in ("size", "anchor", "scaling") if key in text}
    kept["anchor"] = str(kept.get("anchor", "center"))
    return {"string": words, **({} if colours is None else {"color": colours}), **kept}


def _layer(layer: SavedLayer) -> LayerTuple:
    options: dict[str, Any] = dict(layer.options)
    if layer.kind == "movie":
        return _movie(options)
    for key in ("face_color", "edge_color", "border_color", "size", "border_width", "shown"):
        if isinstance(options.get(key), list):
            options[key] = np.array(options[key])
    if not options.get("text"):
        options.pop("text", None)
    if layer.features:
        options["features"] = pd.DataFrame(layer.features)
    data: Any = layer.data
    if layer.kind == "shapes":
        data = [np.array(shape, float) for shape in data]
        if not data:
            options = {key: options[key] for key in (*_COMMON, "ndim") if key in options}
            data = None
        else:
            options.pop("ndim", None)
    else:
        data = np.array(data, float) if layer.kind != "image" else np.array(data, np.float32)
        if not np.isfinite(data).all():
            raise ValueError("not all of its data are numbers")
    return data, options, layer.kind


def _movie(options: dict[str, Any]) -> LayerTuple:
    from ..recording import open_recording, open_stimulus

    where = options.get("metadata") or {}
    source, name = where.get("source"), where.get("stimulus")
    if not isinstance(source, str) or not isinstance(name, str):
        raise NeurratorError("The movie in this file does not say from which recording it is.")
    stimulus, name = open_stimulus(open_recording(source, optotag=False), name, where.get("frames"))
    return Frames(stimulus), {"name": options.get("name", name), "rgb": True, "metadata": where}, "image"


def _plain(value: Any) -> Any:
    """Turn arrays, colours and names of modes into what JSON holds; numbers that are none become null."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str)):
        return value
    return str(value)
