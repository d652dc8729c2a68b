"""Parts of the window that need no window."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

from . import fakes


def test_no_torch_on_import():
    code = (
        "import sys\n"
        "from napari_neurrator.gui import plugin, launch, demo, recording_dock, narrate_dock, concepts_dock, workspace\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_manifest():
    import napari_neurrator

    manifest = PluginManifest.from_file(Path(napari_neurrator.__file__).parent / "napari.yaml")
    manifest.validate_imports()
    assert {widget.display_name for widget in manifest.contributions.widgets} == {
        "Neurrator", "Recording", "Narrate", "Concepts", "Play", "Ask back", "Patches", "Compare", "Studies"
    }  # fmt: skip


def test_points_in_polygon_and_crossing_lasso():
    from napari_neurrator.gui.lasso import points_in_polygon

    square = np.array([[0, 0], [0, 10], [10, 10], [10, 0]])
    points = np.array([[5, 5], [1, 9], [11, 5], [-1, 5], [5, 10.5]])
    assert points_in_polygon(points, square).tolist() == [True, True, False, False, False]
    twice_round = np.concatenate([square, square * 0.8 + 1])
    assert points_in_polygon(np.array([[5, 5]]), twice_round).tolist() == [True]


@pytest.mark.parametrize("size", [(240, 320), (304, 608), (96, 96), (320, 240)])
@pytest.mark.parametrize("n", [12, 400, 3000])
def test_layout_keeps_units_beside_the_frame_and_in_order_of_depth(size, n):
    from napari_neurrator.gui.layout import lay_out

    units = fakes.FakeRecording(n=n).units
    layout = lay_out(units, *size)
    y, x = layout.positions.T
    box = layout.panel
    assert (y >= box.top).all()
    assert (y <= box.bottom).all()
    assert (x >= box.left).all()
    assert (x <= box.right).all()
    assert box.top > layout.frame.bottom or box.left > layout.frame.right
    order = np.argsort(units["y_um"].to_numpy())
    assert (np.diff(y[order]) <= 1e-6).all()  # the tip is at the bottom
    for probe in layout.probes:
        assert (np.diff([y for _, y in probe.labels]) > 0).all()


def test_shanks_stand_side_by_side_and_probes_in_natural_order():
    from napari_neurrator.gui.layout import lay_out

    units = fakes.FakeRecording(n=240, probes=3).units
    units["probe"] = ["probe 2", "probe 10", "probe 1"] * 80
    # Neuropixels 2.0: four shanks, 250 µm apart, two columns of contacts 32 µm apart
    four = (units["probe"] == "probe 2").to_numpy()
    shank = np.arange(len(units)) // 3 % 4
    units.loc[four, "x_um"] = (250 * shank + np.where(np.arange(len(units)) % 2, 0, 32))[four]
    layout = lay_out(units, 240, 320)
    assert [probe.name for probe in layout.probes] == ["probe 1", "probe 2", "probe 10"]
    assert [len(probe.shanks) for probe in layout.probes] == [1, 4, 1]
    shanks = layout.probes[1].shanks
    assert all(a.box.right < b.box.left for a, b in pairwise(shanks))
    for k, drawn in enumerate(shanks):
        x = layout.positions[four & (shank == k), 1]
        assert drawn.box.left <= x.min()
        assert x.max() <= drawn.box.right
    # each region is named once a probe, and names end before the next probe begins
    for probe in layout.probes:
        assert len({name for name, _ in probe.labels}) == len(probe.labels)
    units["shank"] = np.where(four, shank.astype(str), "")
    assert len(lay_out(units, 240, 320).probes[1].shanks) == 4


def test_words_stay_inside_their_probe():
    from napari_neurrator.gui import layer_data
    from napari_neurrator.gui.layout import lay_out

    units = fakes.FakeRecording(n=400).units
    units["probe"] = [f"sub-{i % 2}-of-a-long-name {probe}" for i, probe in enumerate(units["probe"])]
    layout = lay_out(units, 240, 320)

    def width_of(text, points):
        return 0.6 * points * layer_data.PIXELS_PER_POINT * len(text)

    data, options, _ = layer_data.labels(layout, {}, width_of)
    words, points = options["text"]["string"], options["text"]["size"]
    for probe in layout.probes:
        for (_, x), text in zip(data, words, strict=True):
            if probe.box.left < x < probe.room and text in {name for name, _ in probe.labels}:
                assert x + width_of(text, points) / 2 <= probe.room + 1e-6


def test_few_dots_hide_each_other():
    from napari_neurrator.gui.layout import lay_out

    layout = lay_out(fakes.FakeRecording(n=400).units, 240, 320)
    gap = np.linalg.norm(layout.positions[:, None] - layout.positions[None], axis=-1)
    np.fill_diagonal(gap, np.inf)
    assert (gap.min(1) < 0.5 * layout.diameter).mean() < 0.02


def test_subtitle_is_never_cut():
    from napari_neurrator.gui.layout import Box
    from napari_neurrator.gui.subtitle import typeset

    frame = Box(-0.5, -0.5, 119.5, 159.5)
    for text in ("a cat", "a " * 200 + "cat", "x" * 300, "two words " * 60):
        lines, points, box = typeset(text, frame, lambda part, size: 0.6 * size * len(part))
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(0.6 * points * len(line) <= frame.width for line in lines)
        assert box.top >= frame.top


def test_moments_find_the_nearest_earlier_frame():
    from napari_neurrator.gui.moments import Moments

    table = fakes.fake_moments(fakes.FakeStimulus(n_frames=10), repeats=2)
    moments = Moments(table, 30.0)
    assert moments.n_repeats == 2
    assert moments.frame(moments.row(4, 1)) == 4
    sparse = Moments(table[table["frame"] % 5 == 0], 30.0)
    assert sparse.frame(sparse.row(7, 0)) == 5
    assert sparse.row(7, 5) is None


def test_reader_takes_sorted_sessions_only(tmp_path):
    import h5py

    from napari_neurrator.gui.plugin import get_reader

    assert get_reader(str(tmp_path)) is None
    (tmp_path / "spike_times.npy").write_bytes(b"")
    (tmp_path / "spike_clusters.npy").write_bytes(b"")
    assert get_reader(str(tmp_path)) is not None
    with h5py.File(tmp_path / "with.nwb", "w") as file:
        file.create_group("units")
    h5py.File(tmp_path / "without.nwb", "w").close()
    assert get_reader(str(tmp_path / "with.nwb")) is not None
    assert get_reader(str(tmp_path / "without.nwb")) is None
    assert get_reader(str(tmp_path / "picture.tif")) is None
    assert get_reader([str(tmp_path / "with.nwb"), str(tmp_path / "with.nwb")]) is None
    (tmp_path / "pool.toml").write_text('sessions = ["a.nwb", "b.nwb"]')
    (tmp_path / "other.toml").write_text('[project]\nname = "x"')
    assert get_reader(str(tmp_path / "pool.toml")) is not None
    assert get_reader(str(tmp_path / "other.toml")) is None
    assert get_reader(str(tmp_path / "x.neurrator.json")) is not None
    assert get_reader(str(tmp_path / "x.neurrator")) is not None
    assert get_reader(str(tmp_path / "x.json")) is None


def test_a_table_is_taken_only_if_it_says_what_was_shown_when(tmp_path):
    from napari_neurrator.gui.plugin import get_reader, is_presentations

    for header, expected in (
        ("start_time,stop_time,stimulus,frame", True),
        ("onset_ms;stimulus_name", True),
        ("Stimulus\tStart (s)", True),
        ("index,axis-0,axis-1", False),
        ("", False),
    ):
        path = tmp_path / "table.csv"
        path.write_text(header + "\n1,2,3\n")
        assert is_presentations(str(path)) is expected, header
    path.write_bytes(b"\xff\xfe\x00")
    assert not is_presentations(str(path))
    # no recording is open to which it could belong
    assert get_reader(str(path)) is None


def test_frames_slice_like_an_array():
    from napari_neurrator.gui.frames import Frames

    stimulus = fakes.FakeStimulus(n_frames=6, height=12, width=16)
    frames, whole = Frames(stimulus), np.stack([stimulus.frame(i) for i in range(6)])
    assert frames.shape == whole.shape
    assert frames.ndim == 4
    for key in (
        2,
        -1,
        (2,),
        (3, slice(2, 5)),
        slice(1, 4),
        (slice(None), 3),
        (Ellipsis, 0),
        (np.int64(4), slice(None)),
        slice(4, 4),
    ):
        assert np.array_equal(frames[key], whole[key]), key
    assert np.array_equal(np.asarray(frames), whole)


def test_palette_gives_every_region_its_own_colour():
    import pandas as pd

    from napari_neurrator.gui.layer_styles import UNKNOWN, categories

    legend = categories(pd.Series([f"R{i}" for i in range(10)] + ["unknown"]))
    assert len(set(legend.values())) == 11
    assert legend["unknown"] == UNKNOWN
