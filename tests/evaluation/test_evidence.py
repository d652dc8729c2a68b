"""The evidence of single sentences: exact where the units know nothing, and seldom silent where they know much."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import binom

from napari_neurrator.decoding.splits import leaves_its_showing
from napari_neurrator.decoding.store import StoredDecoder
from napari_neurrator.decoding.windows import spike_windows
from napari_neurrator.evaluation.evidence import ALPHA, Evidence, EvidenceTable
from napari_neurrator.evaluation.measure import ReferenceFrames, thin_frames
from napari_neurrator.profiles import load_profile
from napari_neurrator.recording import moments, open_recording, open_stimulus
from napari_neurrator.vision.cache import patch_grids


def grids(n, seed=0, patches=16, width=32):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, patches, width)).astype(np.float32))


def references(n=40, weights=None):
    true = grids(n)
    return ReferenceFrames(true, torch.ones(n) if weights is None else torch.tensor(weights), true.mean(0)), true


def test_p_is_the_share_of_frames_that_fit_as_well():
    held_against, true = references(40)
    prior = true.mean(0)
    decoded = grids(5, seed=1)
    cosine = torch.nn.functional.cosine_similarity(decoded[:, None], true[None], dim=-1).mean(-1)
    gain = cosine - torch.nn.functional.cosine_similarity(prior[None], true, dim=-1).mean(-1)
    for row, frame in enumerate([0, 7, 12, 30, 39]):
        found = held_against.judge(decoded[row : row + 1], true[frame : frame + 1])[0]
        assert found.patch_cosine == pytest.approx(float(cosine[row, frame]), abs=1e-5)
        assert found.gain == pytest.approx(float(gain[row, frame]), abs=1e-5)
        assert found.p == pytest.approx(float((gain[row] >= gain[row, frame]).float().mean()))
        others = np.delete(gain[row].numpy(), frame)
        assert found.usual == pytest.approx(np.quantile(others, 0.5, method="lower"), abs=1e-3)


def test_p_is_exact_whatever_is_decoded():
    """Whatever the grid, one frame in twenty is called better: never more."""
    held_against, true = references(60)
    for decoded in (*grids(10, seed=2), true[3], true[:9].mean(0), true.mean(0)):
        p = [one.p for one in held_against.judge(decoded.expand(60, -1, -1), true)]
        assert np.mean(np.array(p) <= ALPHA) <= ALPHA
        assert min(p) > 0


def test_many_moments_are_judged_as_each_alone():
    held_against, true = references(40)
    decoded = grids(70, seed=4)
    frames = true[torch.arange(70) % 40]
    together = held_against.judge(decoded, frames)
    assert len(together) == 70
    for row in (0, 3, 63, 64, 69):
        assert together[row].p == held_against.judge(decoded[row : row + 1], frames[row : row + 1])[0].p


def test_a_frame_that_is_not_among_the_references_counts_as_one_more():
    held_against, true = references(40)
    new = grids(1, seed=9)
    found = held_against.judge(new, new)[0]
    assert found.p == found.least == pytest.approx(1 / 41)
    assert held_against.judge(true[:1], true[:1])[0].p == pytest.approx(1 / 40)


def test_frames_that_look_the_same_count_together_and_weights_are_kept():
    true = grids(10)
    true[5:8] = true[5]
    held_against = ReferenceFrames(true, torch.ones(10), true.mean(0))
    assert held_against.judge(true[6:7], true[6:7])[0].p == pytest.approx(3 / 10)
    weighted, true = references(4, [1.0, 1.0, 1.0, 7.0])
    assert weighted.judge(true[3:], true[3:])[0].p == pytest.approx(0.7)
    assert weighted.judge(true[:1], true[:1])[0].p == pytest.approx(0.1)


def test_units_that_say_next_to_nothing_are_still_ranked():
    held_against, true = references(40)
    prior = true.mean(0)
    faint = prior + 1e-4 * (true[11] - prior)
    assert held_against.judge(faint[None], true[11:12])[0].p == pytest.approx(1 / 40)
    nothing = held_against.judge(prior[None], true[11:12])[0]
    assert nothing.gain == 0
    assert nothing.p == 1.0
    assert not nothing.better


def test_few_pictures_cannot_give_more_than_chance_and_that_is_said():
    held_against, true = references(8)
    found = held_against.judge(true[:1], true[:1])[0]
    assert found.p == found.least == pytest.approx(1 / 8)
    assert not found.better
    assert not found.greyed
    assert "so few different frames" in found.in_words()
    other = held_against.judge(true[1:2], true[:1])[0]
    assert other.p > 1 / 8
    assert other.greyed
    assert other.in_words().startswith("Not more than chance")
    table = EvidenceTable.of({4: [found, other]}, 2, 8)
    assert table.better == [0.0]
    assert table.best == [0.5]
    assert "the frame shown fits best: 50% with 4 units (by luck 12%)" in table.in_words()


def test_words():
    base = {"patch_cosine": 0.8, "prior_cosine": 0.6, "gain": 0.2, "usual": -0.1, "least": 0.004}
    assert Evidence(**base, p=0.31).in_words().startswith("Not more than chance (p = 0.31): 31% of the frames")
    assert Evidence(**base, p=0.004).in_words().startswith("More than chance (p = 0.004)")
    assert Evidence(**base, p=0.004).in_words(held_out=False).startswith("Not a test")
    assert Evidence(**base, p=0.05).better
    assert not Evidence(**base, p=0.0501).better


@pytest.mark.parametrize(("n", "size"), [(900, 23040), (900, 589824), (40, 589824), (1, 10)])
def test_frames_are_thinned_and_no_weight_is_lost(n, size):
    frames = np.random.default_rng(0).integers(0, n, 5 * n)
    kept, weights = thin_frames(frames, size)
    assert weights.sum() == len(frames)
    assert len(kept) == len(weights) <= max(64, min(256, len(np.unique(frames))))
    assert set(kept) <= set(frames)
    assert len(kept) * size <= 64 * 589824


def test_the_table_survives_json_and_refuses_nonsense():
    one = Evidence(patch_cosine=0.8, prior_cosine=0.6, gain=0.2, usual=-0.1, p=0.01, least=0.01)
    table = EvidenceTable.of({3: [one, one.model_copy(update={"p": 0.5})], 1: [one]}, 20, 30)
    assert table.sizes == [1, 3]
    assert table.better == [1.0, 0.5]
    assert EvidenceTable.model_validate_json(table.model_dump_json()) == table
    assert "50% with 3 units" in table.in_words()
    with pytest.raises(ValidationError):
        EvidenceTable(
            sizes=[3, 1], better=[0, 1], best=[0, 1], luck=0.01, gain=[0, 1], usual=[0, 0], moments=1, frames=1
        )


# -- on the simulated session: units blind to the film, spikes of another time, and units that see ----------------------------------------
@pytest.fixture(scope="module")
def session(small_sample, small_decoder):
    recording = open_recording(small_sample)
    stored = StoredDecoder.load(small_decoder)
    stimulus, name = open_stimulus(recording, stored.info.stimulus)
    table = moments(recording, name, stimulus)
    table = table[(table["repeat"] == 4).to_numpy() & ~leaves_its_showing(table, stored.info.window)]
    frames = np.arange(stimulus.n_frames)
    true = torch.from_numpy(np.asarray(patch_grids(stimulus, frames, load_profile("tiny")), dtype=np.float32))
    held_against = ReferenceFrames(**stored.references, prior=stored.decoder.prior_grid)
    return recording, stored, table.sort_values("time"), true, held_against


def share_better(session, pool, size, n, shift, seed):
    """Return how many of `n` sentences are called better, each of its own units, moment and (with `shift`) lag.

    Neighbouring frames of a film are not independent, and neither are sentences of the same units. So every sentence is drawn anew: its units, its
    moment, and how far its spikes are shifted round the film. The draws are independent, and a binomial interval holds for them.
    """
    recording, stored, table, true, held_against = session
    rng = np.random.default_rng([seed, size])
    better = 0
    for _ in range(n):
        units = [pool[i] for i in np.sort(rng.choice(len(pool), size=size, replace=False))]
        row = int(rng.integers(len(table)))
        told = (row + int(rng.integers(len(table)))) % len(table) if shift else row
        windows = spike_windows(recording, table.iloc[[told]], stored.info.window, units)
        decoded = stored.decoder.predict(windows, units)
        frame = int(table["frame"].iloc[row])
        better += held_against.judge(decoded, true[frame : frame + 1])[0].better
    return better


@pytest.mark.parametrize(
    ("query", "size", "shift"),
    [('region == "CA1"', 1, False), ('region == "CA1"', 5, False), ('region != "CA1"', 1, True), ('region != "CA1"', 5, True), ('region != "CA1"', 60, True)],
)  # fmt: skip
def test_sentences_of_units_that_know_nothing_are_called_better_at_the_rate_of_chance(session, query, size, shift):
    n = 200
    pool = session[0].select_units(query)
    assert len(pool) >= size
    better = share_better(session, pool, size, n, shift, seed=0)
    low, high = binom.interval(0.99, n, ALPHA)
    assert low <= better <= high, f"{better} of {n}"


def test_most_sentences_of_sixty_visual_units_are_better(session):
    pool = session[0].select_units('region != "CA1"')
    assert share_better(session, pool, 60, 60, shift=False, seed=1) > 48
