"""Ask back on the small session: contributions add up, agree with exact answers, and tell who sees nothing."""

import numpy as np
import pytest
import torch

from napari_neurrator.attribution.asking import ask_back
from napari_neurrator.attribution.leaving import leave_out
from napari_neurrator.attribution.targets import concept_target, patch_target
from napari_neurrator.attribution.words import find_word, word_log_probability, word_target
from napari_neurrator.config import FitConfig
from napari_neurrator.decoding.fit import fit
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.decoding.windows import spike_windows
from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import moments, open_recording, open_stimulus


@pytest.fixture(scope="module")
def scene(small_sample, small_decoder):
    recording = open_recording(small_sample)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    stored = StoredDecoder.load(small_decoder)
    table = moments(recording, name, stimulus)
    table = table[(table["repeat"] == 4) & table["frame"].isin([20, 100, 180])]
    units = stored.info.unit_ids
    windows = spike_windows(recording, table, stored.info.window, units)
    grids = stored.decoder.predict(windows, units)
    return recording, stored, units, windows, grids, stored.decoder.prior_grid


def test_contributions_add_up_to_what_was_decoded(scene):
    _, stored, units, windows, grids, prior = scene
    for row, patches in ((0, [40]), (1, range(144)), (2, [5, 17, 18])):
        target = patch_target(grids[row], prior, list(patches))
        found = ask_back(stored.decoder, windows[row], units, target)
        assert found.value == pytest.approx(float(target.value(grids[row][None])[0]), rel=5e-3)
        assert found.contribution.sum() == pytest.approx(found.value, rel=0.03)
        assert found.method == "integrated-gradients"
        assert 0 < found.share_of_units(0.5) < found.share_of_units(0.8) <= 1
        some = found.explain(0.8)
        size = dict(zip(units, np.abs(found.contribution), strict=True))
        assert sum(size[unit] for unit in some) >= 0.8 * sum(size.values()) * (1 - 1e-6)
        assert sum(size[unit] for unit in some[:-1]) < 0.8 * sum(size.values())


def fitted_on_other_images(sample, steps):
    options = {"calibration_steps": 5, "network_steps": steps}
    return fit(FitConfig(recording=str(sample), stimulus="natural_movie_one", split="held-out-images", options=options))


def test_contributions_add_up_where_frames_were_held_out(small_sample):
    # There the posterior is flattened, the regression has its weight, and the network its share.
    fitted = fitted_on_other_images(small_sample, 40)
    decoder, units = fitted.stored.decoder, fitted.stored.info.unit_ids
    assert decoder.network is not None
    decoder.mixing.flattening[:] = 0.25
    windows = spike_windows(fitted.recording, fitted.moments.iloc[fitted.split.test[:3]], decoder.window, units)
    grids, prior = decoder.predict(windows, units), decoder.prior_grid
    nothing = decoder.network(torch.zeros(1, len(decoder.latent.loadings)), decoder._subset(units).latents.known)
    said = decoder.basis.grids(decoder.latent.mean + 0.5 * nothing)
    for row, patches in enumerate([[40], range(144), [5, 17, 18]]):
        target = patch_target(grids[row], prior, list(patches))
        found = ask_back(decoder, windows[row], units, target)
        assert found.value == pytest.approx(float(target.value(grids[row][None])[0]), rel=5e-3)
        assert found.remainder == pytest.approx(float(target.value(said)[0]), abs=0.03 * abs(found.value))


def test_a_unit_that_neither_regression_nor_network_is_asked_of(small_sample):
    fitted = fitted_on_other_images(small_sample, 2)
    decoder, unit = fitted.stored.decoder, fitted.stored.info.unit_ids[3]
    decoder.mixing.weights[0] = (0.6, 0.0)
    windows = spike_windows(fitted.recording, fitted.moments.iloc[fitted.split.test[:1]], decoder.window, [unit])
    grid, prior = decoder.predict(windows, [unit])[0], decoder.prior_grid
    assert decoder.network is not None
    assert decoder._subset([unit]).latents is None
    target = patch_target(grid, prior, [40])
    found = ask_back(decoder, windows[0], [unit], target)
    assert found.contribution.sum() + found.remainder == pytest.approx(float(target.value(grid[None])[0]), rel=5e-3)


def test_gradients_agree_with_shapley_values_and_leaving_out_is_decoding_again(scene):
    _, stored, units, windows, _, prior = scene
    some, window = units[:8], windows[1][:, :8]
    grid = stored.decoder.predict(window[None], some)[0]
    target = patch_target(grid, prior, list(range(144)))
    by_gradients = ask_back(stored.decoder, window, some, target)
    shapley = ask_back(stored.decoder, window, some, target, method="shapley")
    # Both are what joining adds on average: along the straight way, and over orders of joining.
    assert np.corrcoef(by_gradients.contribution, shapley.contribution)[0, 1] > 0.8
    assert shapley.contribution.sum() == pytest.approx(shapley.value, rel=1e-3)
    left = ask_back(stored.decoder, window, some, target, method="leave-out")
    without = stored.decoder.predict(np.ascontiguousarray(window[None][:, :, 1:]), some[1:])
    assert left.contribution[0] == pytest.approx(
        float(target.value(grid[None])[0] - target.value(without)[0]), abs=1e-3
    )


def test_units_that_see_nothing_contribute_little(scene):
    recording, stored, units, windows, grids, prior = scene
    region = recording.units.loc[units, "region"].to_numpy()
    sizes = np.mean(
        [np.abs(ask_back(stored.decoder, windows[row], units, patch_target(grids[row], prior, list(range(144)))).contribution) for row in range(3)], axis=0
    )  # fmt: skip
    assert sizes[region == "CA1"].mean() < 0.3 * sizes[region != "CA1"].mean()


def test_a_concept_is_its_activation(scene, tiny):
    from napari_neurrator.concepts.dictionary import load_dictionary

    _, stored, units, windows, grids, prior = scene
    dictionary = load_dictionary(tiny)
    feature = int(dictionary.encode(grids[:1]).totals()[0].argmax())
    target = concept_target(dictionary, feature, grids[0], prior)
    active = target.patches
    expected = ((grids[0] - prior)[active] @ dictionary.sae.encoder[:, feature]).sum()
    assert float(target.value(grids[:1])[0]) == pytest.approx(float(expected), rel=1e-3)
    assert ask_back(stored.decoder, windows[0], units, target).contribution.shape == (len(units),)
    with pytest.raises(NeurratorError, match="no concept 'unicorn'"):
        concept_target(dictionary, "unicorn", grids[0], prior)
    with pytest.raises(NeurratorError, match="no feature"):
        concept_target(dictionary, 10**9, grids[0], prior)


def test_a_word_is_what_made_the_model_say_it(scene, language):
    _, stored, units, windows, grids, prior = scene
    sentence = language.narrate(grids[:1])[0]
    word = max(sentence.strip(".").split(), key=len).strip(",")
    said = word_log_probability(language, torch.stack([grids[0], prior]), sentence, word)
    # Greedy words are the likeliest of all.
    assert said[0] > np.log(0.2)
    target = word_target(language, grids[0], prior, sentence, word, steps=24)
    assert target.name == word
    assert float(target.value(grids[:1])[0]) == pytest.approx(
        float(said[0] - said[1]), abs=0.35 * max(1, abs(float(said[0] - said[1])))
    )
    assert np.isfinite(ask_back(stored.decoder, windows[0], units, target).contribution).all()
    with pytest.raises(NeurratorError, match="does not say"):
        word_target(language, grids[0], prior, sentence, "zeppelin")


def test_words_are_found_by_name_and_place():
    assert find_word("A bee, in the forest's light.", "bee") == (2, 5)
    assert find_word("A bee, in the forest's light.", 4) == (14, 22)
    with pytest.raises(NeurratorError, match="no word 9"):
        find_word("a bee", 9)


def test_what_is_lost_without_a_group(scene, small_sample):
    recording, stored, units, windows, _, _ = scene
    true = stored.decoder.predict(windows, units).numpy()
    region = recording.units.loc[units, "region"].to_numpy()
    ca1 = [unit for unit, name in zip(units, region, strict=True) if name == "CA1"]
    rest = [unit for unit, name in zip(units, region, strict=True) if name != "CA1"]
    blind = leave_out(stored.decoder, windows, units, ca1, true, draws=9)
    seeing = leave_out(stored.decoder, windows, units, rest, true, draws=9)
    assert blind.lost < 0.05 < seeing.lost
    assert seeing.by_patch.shape == (144,)
    assert seeing.p <= 0.6
    silent = leave_out(stored.decoder, windows, units, rest, true, how="silent", draws=3)
    assert silent.lost > blind.lost
    assert not np.allclose(silent.rest, seeing.rest)
    for group, words in (([], "no units"), (units, "nobody would be left"), (["x"], "not among")):
        with pytest.raises(NeurratorError, match=words):
            leave_out(stored.decoder, windows, units, group, true)


@pytest.mark.parametrize(("patches", "words"), [([], "No patch"), ([144], "no patch 144"), ([-1], "no patch -1")])
def test_patches_that_are_not_there(scene, patches, words):
    *_, grids, prior = scene
    with pytest.raises(NeurratorError, match=words):
        patch_target(grids[0], prior, patches)


def test_nothing_decoded_is_said_by_nobody(scene):
    *_, prior = scene
    with pytest.raises(NeurratorError, match="mean grid"):
        patch_target(prior, prior, [1])


def test_other_decoders_are_asked_by_leaving_out(scene):
    _, _, units, windows, _, prior = scene

    class Sum:
        kind, unit_ids = "sum", units

        def check_windows(self, windows, unit_ids):
            pass

        def positions(self, unit_ids):
            return list(range(len(unit_ids)))

        prior_grid = prior

        def predict(self, windows, unit_ids):
            return prior + torch.from_numpy(windows.sum((1, 2)).astype(np.float32))[:, None, None] / 100

    target = patch_target(prior + 1, prior, [3])
    found = ask_back(Sum(), windows[0], units, target)
    assert found.method == "leave-out"
    counts = windows[0].sum(0)
    assert found.contribution == pytest.approx(counts * float(target.weights.sum()) / 100, abs=1e-3)
    with pytest.raises(NeurratorError, match="no closed form"):
        ask_back(Sum(), windows[0], units, target, method="integrated-gradients")
