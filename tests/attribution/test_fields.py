"""Where units look: on made-up units, and on the whole sample against the simulation's truth."""

import json

import numpy as np
import pytest
import torch

from napari_neurrator.attribution.fields import UnitFields


def test_fields_are_found_where_they_were_put():
    rng = np.random.default_rng(3)
    n, side, width = 160, 8, 6
    grids = torch.from_numpy(rng.normal(size=(n, side * side, width)).astype(np.float32))
    put = rng.choice(side * side, 24, replace=False)
    answers = torch.stack([grids[:, p] @ torch.from_numpy(rng.normal(size=width).astype(np.float32)) for p in put], 1)
    answers += 0.3 * answers.std(0) * torch.from_numpy(rng.normal(size=answers.shape).astype(np.float32))
    blind = torch.from_numpy(rng.normal(size=(n, 10)).astype(np.float32))
    still = torch.zeros(n, 1)
    fields = UnitFields.fit(torch.cat([answers, blind, still], 1), grids, list(range(35)), side, side)
    top = fields.maps().argmax(1).numpy()
    assert np.mean(top[:24] == put) > 0.9
    # Units that see nothing look nowhere.
    assert fields.looks[24:34].sum(1).mean() < 0.5
    assert fields.looks[34].sum() == 0
    assert fields.covers([int(put[0])], [0, 34])[0] > 0.5
    assert fields.covers([int(put[0])], [0, 34])[1] == 0


@pytest.mark.slow
def test_ask_back_finds_units_whose_receptive_field_covers_the_object():
    """Area under the curve of finding, from an object's patches, the units whose simulated field covers them; all objects of every fifteenth frame."""
    from sklearn.metrics import roc_auc_score

    from napari_neurrator.config import WindowConfig
    from napari_neurrator.decoding.bayes import EncodingModel
    from napari_neurrator.decoding.subset import pooled
    from napari_neurrator.decoding.windows import spike_windows
    from napari_neurrator.profiles import load_profile
    from napari_neurrator.recording import moments, open_recording, open_stimulus
    from napari_neurrator.recording.sample import make_sample
    from napari_neurrator.vision.cache import patch_grids
    from napari_neurrator.vision.geometry import PatchGeometry

    file = make_sample()
    truth = json.loads((file.parent / "truth.json").read_text())
    recording = open_recording(file)
    stimulus, name = open_stimulus(recording, "natural_movie_one")
    table = moments(recording, name, stimulus)
    # The tuning that a decoder holds, without the rest of its fit: every fifth showing is left out.
    table = table[table["repeat"] % 5 != 4]
    table = table[table["frame"] < 894]
    units, window = recording.unit_ids, WindowConfig()
    counts = pooled(spike_windows(recording, table, window, units), 1)
    shown = table["frame"].to_numpy()
    model = EncodingModel.fit(counts, np.arange(len(counts)), torch.from_numpy(shown), 894)
    grids = torch.from_numpy(np.asarray(patch_grids(stimulus, np.arange(894), load_profile("tiny")), dtype=np.float32))
    geometry = PatchGeometry.of(load_profile("tiny"), *stimulus.frame_shape[:2])
    fields = UnitFields.fit(model.means, grids, units, geometry.rows, geometry.columns)

    row, column = np.divmod(np.arange(geometry.rows * geometry.columns), geometry.columns)
    y, x = geometry.crop[0] + (row + 0.5) * geometry.scale[0], geometry.crop[1] + (column + 0.5) * geometry.scale[1]
    real = truth["units_in_file_order"]
    centre = np.array([[unit["rf_x"] or np.nan, unit["rf_y"] or np.nan] for unit in real], dtype=float)
    radius = np.array([unit["rf_radius"] or np.nan for unit in real], dtype=float)
    found = []
    for frame in range(5, 894, 15):
        for thing in truth["frames"][frame]["objects"]:
            inside = (
                (x > thing["x"])
                & (x < thing["x"] + thing["width"])
                & (y > thing["y"])
                & (y < thing["y"] + thing["height"])
            )
            patches = np.flatnonzero(inside)
            if not len(patches):
                continue
            away_x = np.maximum(np.abs(centre[:, :1] - x[patches]) - geometry.scale[1] / 2, 0)
            away_y = np.maximum(np.abs(centre[:, 1:] - y[patches]) - geometry.scale[0] / 2, 0)
            covers = np.nan_to_num(np.hypot(away_x, away_y), nan=np.inf).min(1) <= radius
            found.append(roc_auc_score(covers, fields.covers(patches).numpy()))
    assert len(found) > 100
    assert np.mean(found) >= 0.9
    assert np.quantile(found, 0.1) >= 0.8
