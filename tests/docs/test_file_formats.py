"""The page of file formats names every field that the code writes, and no field that it does not know."""

import re

import pytest

from napari_neurrator import config, session_file, settings
from napari_neurrator.backend import narrations
from napari_neurrator.decoding import info
from napari_neurrator.evaluation import evidence, report
from napari_neurrator.evaluation.studies import report as study
from napari_neurrator.export import nwb, table
from napari_neurrator.gui import layer_file
from napari_neurrator.recording import pool, presentation_files

from .pages import DOCS

TEXT = (DOCS / "file_formats.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    level = heading.split(" ")[0]
    start = TEXT.index(f"\n{heading}\n")
    after = re.search(rf"\n#{{1,{len(level)}}} ", TEXT[start + len(heading) :])
    return TEXT[start : start + len(heading) + after.start()] if after else TEXT[start:]


def named(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("## Narrations", [narrations.Narration, narrations.NarrationEvidence, narrations.Answer]),
        ("### Configuration of narrations", [config.NarrateConfig, config.SpeakingConfig, config.RunningConfig]),
        ("## Decoder", [info.DecoderInfo, config.FitConfig, config.WindowConfig, evidence.EvidenceTable]),
        ("## Session file", [session_file.SessionFile, session_file.SavedRecording, session_file.SavedSentence, evidence.Evidence]),
        ("## report.json", [report.Report, report.SizeResult, report.Null, report.Example, study.StudyReport]),
        ("## What you write yourself", [pool.PoolFile, presentation_files._TtlFile]),
        ("## Others", [settings.Settings, layer_file.LayerFile, layer_file.SavedLayer]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_field_is_named(heading, models):
    words = named(section(heading))
    for model in models:
        assert set(model.model_fields) <= words, model.__name__


@pytest.mark.parametrize(
    ("heading", "models", "more"),
    [
        (
            "### Configuration of narrations",
            [config.NarrateConfig, config.SpeakingConfig, config.RunningConfig],
            {"all"},
        ),
        (
            "## Session file",
            [session_file.SessionFile, session_file.SavedRecording, session_file.SavedSentence, evidence.Evidence],
            {"unit_sets", "sample"},
        ),
    ],
)
def test_no_field_is_invented(heading, models, more):
    known = set().union(*(model.model_fields for model in models))
    assert named(section(heading)) <= known | more


def test_columns_of_nwb_are_named():
    words = named(section("### NWB"))
    assert set(nwb._COLUMNS) | set(nwb._MADE_BY) <= words
    assert nwb.TABLE in section("### NWB")
    assert f"processing/{nwb.MODULE}/{nwb.PROVENANCE}" in section("### NWB")


def test_columns_of_csv_are_named_in_their_order():
    narration = narrations.Narration(
        text="a", unit_ids=[1], stimulus="film", frame=0, presentation=0, repeat=0, start_time=0.0, held_out=True,
        config=config.NarrateConfig(recording="sample", decoder="d"),
    )  # fmt: skip
    columns = list(table.flat(narration))
    text = section("### CSV").split("--units-csv")[0]
    places = [text.find(f"`{column}`") for column in columns]
    assert -1 not in places
    assert places == sorted(places)


def test_tensors_of_the_default_decoder_are_named():
    pytest.importorskip("torch")
    import inspect

    from napari_neurrator.decoding.subset import SubsetBayes

    written = set(re.findall(r'^ +"(\w+)": ', inspect.getsource(SubsetBayes.state), re.MULTILINE))
    assert len(written) > 15
    assert written <= named(section("## Decoder"))


def test_names_of_features_have_the_fields_that_are_written():
    import inspect

    from napari_neurrator.concepts import naming

    source = inspect.getsource(naming.name_features) + inspect.getsource(naming.choose_names)
    written = set(re.findall(r'"(\w+)": ', source))
    assert {"method", "dictionary", "score", "best"} <= written
    assert written <= named(section("## Dictionary"))
