"""A fitted decoder: what it holds, what it knows, and how it refuses what does not fit."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_neurrator.backend.fitting import fit_decoder
from napari_neurrator.config import FitConfig
from napari_neurrator.decoding import decoder_info
from napari_neurrator.decoding.fit import fit
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.decoding.subset import SubsetBayes
from napari_neurrator.decoding.windows import spike_windows
from napari_neurrator.errors import NeurratorError, Stopped
from napari_neurrator.evaluation import EvidenceTable
from napari_neurrator.recording import moments, open_recording, open_stimulus


@pytest.fixture(scope="module")
def held_out(small_sample, small_decoder):
    recording = open_recording(small_sample)
    stored = StoredDecoder.load(small_decoder)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    table = moments(recording, name, stimulus)
    return recording, stored, table[table["repeat"] == 4]


def test_the_decoder_names_units_profile_and_config(small_sample, small_decoder):
    info = decoder_info(small_decoder)
    document = json.loads((small_decoder / "decoder.json").read_text())
    assert info.unit_ids == open_recording(small_sample).unit_ids
    assert document["profile"] == "tiny"
    assert FitConfig.model_validate(document["config"]).window.n_bins == 20
    assert info.metrics["patch_cosine"] > info.metrics["prior_cosine"] + 0.1
    assert sorted(p.name for p in small_decoder.iterdir()) == [
        "decoder.json",
        "decoder.safetensors",
        "references.safetensors",
    ]


def test_more_units_decode_closer_and_ca1_stays_at_the_prior(held_out, tower):
    recording, stored, table = held_out
    table = table.iloc[::9]
    stimulus, _ = open_stimulus(recording, "natural_movie_one")
    true = tower.grids(stimulus.frames(table["frame"]))

    def cosine(units):
        decoded = stored.decoder.predict(spike_windows(recording, table, stored.info.window, units), units)
        return float(torch.nn.functional.cosine_similarity(decoded, true, dim=-1).mean())

    prior = float(torch.nn.functional.cosine_similarity(stored.decoder.prior_grid[None], true, dim=-1).mean())
    visual = recording.select_units('region != "CA1"')
    few = [cosine(visual[i::12][:5]) for i in range(6)]
    assert prior < np.mean(few) < cosine(visual)
    assert cosine(recording.select_units('region == "CA1"')) < prior + 0.05


def test_units_may_come_in_any_order(held_out):
    recording, stored, table = held_out
    units = recording.unit_ids[:20]
    table = table.iloc[:3]
    one = stored.decoder.predict(spike_windows(recording, table, stored.info.window, units), units)
    shuffled = units[::-1]
    two = stored.decoder.predict(spike_windows(recording, table, stored.info.window, shuffled), shuffled)
    torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)


def test_saving_and_loading_keeps_the_answer(held_out, tmp_path):
    recording, stored, table = held_out
    units = recording.unit_ids[10:40]
    windows = spike_windows(recording, table.iloc[:4], stored.info.window, units)
    stored.save(tmp_path / "copy")
    copy = StoredDecoder.load(tmp_path / "copy")
    torch.testing.assert_close(copy.decoder.predict(windows, units), stored.decoder.predict(windows, units))
    torch.testing.assert_close(copy.references["grids"], stored.references["grids"])


def test_what_is_put_into_words_has_the_decoded_direction_and_a_true_contrast(held_out):
    _, stored, _ = held_out
    prior = stored.decoder.prior_grid
    away = stored.typical_grids.float() - prior
    lengths = away.flatten(1).norm(dim=1)
    faint, clear = away[lengths.argmin()], away[lengths.argmax()]
    asked = torch.stack([prior + 0.3 * faint, prior + clear, prior, prior + 1e-3 * faint])
    said = stored.spoken(asked) - prior
    cosine = torch.cosine_similarity(said.flatten(1), torch.stack([faint, clear, faint, faint]).flatten(1))
    assert cosine[[0, 1]].min() > 0.999
    length = said.flatten(1).norm(dim=1)
    assert lengths.min() * 0.9 < length[0] < lengths.median()
    torch.testing.assert_close(said[1], clear, atol=1e-3, rtol=1e-3)
    assert length[2] == 0
    # Next to nothing is not made a picture of.
    assert length[3] < 0.1 * lengths.min()
    torch.testing.assert_close(stored.spoken(asked[:1]), stored.spoken(asked)[:1])


def test_a_fit_measures_what_is_more_than_chance(small_decoder):
    info = decoder_info(small_decoder)
    table = EvidenceTable.model_validate(info.evidence)
    assert table.sizes == [1, 3, 10, 30, 80]
    assert table.better[-1] > 0.8
    assert table.better[0] < table.better[2] < table.better[-1] + 0.01
    references = StoredDecoder.load(small_decoder).references
    assert tuple(references["grids"].shape[1:]) == info.grid
    assert len(references["grids"]) == table.frames
    assert references["grids"].dtype == torch.float16


def test_frames_that_were_held_out_are_held_against_each_other(small_sample, tmp_path):
    """Held against frames that it knows, a decoder would seem to say nothing of those that it does not."""
    config = FitConfig(
        recording=str(small_sample), stimulus="natural_movie_one", split="front-only", options={"calibration_steps": 5}
    )
    info = fit_decoder(config, tmp_path / "d")
    references = StoredDecoder.load(tmp_path / "d").references
    assert len(references["grids"]) == len(info.test_frames) == 45
    assert references["weights"].sum() > 45


def test_a_decoder_that_flattens_nothing_is_read_from_a_file_of_before(held_out):
    _, stored, _ = held_out
    tensors, settings = stored.decoder.state()
    assert set(tensors.pop("mixing_flattening").tolist()) == {1.0}
    of_before = SubsetBayes.from_state(tensors, settings, stored.decoder.unit_ids, stored.decoder.window)
    windows = np.ones((1, stored.decoder.window.n_bins, 3), dtype=np.uint8)
    units = stored.decoder.unit_ids[:3]
    torch.testing.assert_close(
        of_before.predict(windows, units), stored.decoder.predict(windows, units), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("split", "parts"), [("contiguous-middle", 5), ("front-only", 3), ("another-movie", 3)])
def test_what_lies_beyond_the_film_is_prepared_for_by_leaving_out_more_of_it(small_sample, split, parts):
    fitted = fit(
        FitConfig(
            recording=str(small_sample), stimulus="natural_movie_one", split=split, options={"calibration_steps": 5}
        )
    )
    assert len(fitted.stored.decoder.latent.weights) == parts


def test_without_anything_held_out_there_is_no_evidence(small_sample, tmp_path):
    config = FitConfig(
        recording=str(small_sample), stimulus="natural_movie_one", split="another-movie", options={"calibration_steps": 5}
    )  # fmt: skip
    assert fit_decoder(config, tmp_path / "d").evidence is None
    stored = StoredDecoder.load(tmp_path / "d")
    assert stored.references is None
    # What another film shows is none of the frames that this one has.
    assert not stored.decoder.mixing.weights[:, 0].any()
    assert stored.decoder.mixing.weights[-1, 1] > 0
    assert not (tmp_path / "d" / "references.safetensors").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "of another decoder"])
def test_damaged_references_are_one_sentence(small_decoder, tmp_path, damage):
    shutil.copytree(small_decoder, tmp_path / "d")
    file = tmp_path / "d" / "references.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:500])
    else:
        save_file({"grids": torch.zeros(3, 2, 2), "weights": torch.ones(3)}, file)
    with pytest.raises(NeurratorError, match=r"references\.safetensors .*fit it again"):
        StoredDecoder.load(tmp_path / "d")


def test_unknown_units_and_wrong_windows_are_refused(held_out):
    recording, stored, _ = held_out
    windows = np.zeros((1, 20, 1), dtype=np.uint8)
    with pytest.raises(NeurratorError, match="fitted on"):
        stored.decoder.predict(windows, [123])
    with pytest.raises(NeurratorError, match="at least one"):
        stored.decoder.predict(np.zeros((1, 20, 0), dtype=np.uint8), [])
    with pytest.raises(NeurratorError, match="expects"):
        stored.decoder.predict(np.zeros((1, 7, 1), dtype=np.uint8), recording.unit_ids[:1])


@pytest.mark.parametrize("damage", ["no json", "bad json", "future", "cut weights", "no weights"])
def test_damaged_decoders_are_one_sentence(small_decoder, tmp_path, damage):
    folder = tmp_path / "d"
    shutil.copytree(small_decoder, folder)
    if damage == "no json":
        (folder / "decoder.json").unlink()
    elif damage == "bad json":
        (folder / "decoder.json").write_text("{")
    elif damage == "future":
        (folder / "decoder.json").write_text('{"format": 99}')
    elif damage == "cut weights":
        (folder / "decoder.safetensors").write_bytes((folder / "decoder.safetensors").read_bytes()[:1000])
    else:
        (folder / "decoder.safetensors").unlink()
    with pytest.raises(NeurratorError, match="decoder"):
        StoredDecoder.load(folder)


def test_stopping_a_fit_leaves_nothing(small_sample, tmp_path):
    def stop(stage, done, total):
        if stage.startswith("calibrating"):
            raise Stopped

    with pytest.raises(Stopped):
        fit_decoder(FitConfig(recording=str(small_sample), stimulus="natural_movie_one"), tmp_path / "d", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_not_overwritten(held_out, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(NeurratorError, match="something else"):
        held_out[1].save(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
