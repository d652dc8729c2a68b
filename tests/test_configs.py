"""Every number that a user may give has to be one: no configuration takes nan or inf, in any field."""

import importlib
import math
import pkgutil
import types
import typing

import pytest
from pydantic import BaseModel, ValidationError

import napari_neurrator

# What users write, on the command line, in files or as options. Results may hold what is no number.
_ENDINGS = (
    "Config",
    "Options",
    "Rule",
    "Rules",
    "Limits",
    "Study",
    "Settings",
    "Profile",
    "Spec",
    "_TtlFile",
    "PoolFile",
)
_ROOMS = (
    "config", "settings", "profiles", "recording", "decoding", "concepts", "evaluation.config", "evaluation.studies.config", "backend.limits", "backend.serve",
)  # fmt: skip


def modules():
    for room in _ROOMS:
        module = importlib.import_module(f"napari_neurrator.{room}")
        yield module
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            if room != "recording" or "." not in found.name.removeprefix(f"{module.__name__}."):
                yield importlib.import_module(found.name)


def configurations() -> list[type[BaseModel]]:
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__name__.endswith(_ENDINGS)
        and value.__module__.startswith(napari_neurrator.__name__)
    }  # fmt: skip
    return sorted(found, key=lambda model: (model.__module__, model.__name__))


def filled(annotation: object, value: float) -> object | None:
    """Return `value` in the shape that an annotation asks for; None where it holds no float."""
    if annotation is float:
        return value
    parts = [one for one in typing.get_args(annotation) if one is not Ellipsis]
    inner = [one for part in parts if (one := filled(part, value)) is not None]
    origin = typing.get_origin(annotation)
    if not inner:
        return None
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return inner[0]
    if origin is dict:
        return {"a": inner[-1]}
    return inner * (len(parts) if origin is tuple else 1)


FIELDS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}")
    for model in configurations()
    for name, field in model.model_fields.items()
    if filled(field.annotation, 0.0) is not None
]


def test_floats_are_found():
    names = {parameter.id for parameter in FIELDS}
    assert {
        "WindowConfig.lag_s", "SpeakingConfig.temperature", "EvaluateConfig.gap_s", "ServeConfig.rate", "TrainConceptsConfig.groups", "TrainConceptsConfig.lr",
        "NetworkOptions.lr", "RidgeOptions.alphas", "CebraOptions.delta", "Limits.quiet_s", "QualityRule.min_presence_ratio",
        "OptotaggingRule.ratio", "_TtlFile.rate_hz",
    } - names == set()  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_what_is_no_number_is_refused(model, name, value):
    with pytest.raises(ValidationError) as error:
        model.model_validate({name: filled(model.model_fields[name].annotation, value)})
    of_field = {one["type"] for one in error.value.errors() if one["loc"][:1] == (name,)}
    assert "finite_number" in of_field
