"""Blocks, repeats, blanks and gaps are found from the table of presentations; bad tables give a table or one sentence."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_neurrator.errors import NeurratorError
from napari_neurrator.recording import open_recording
from napari_neurrator.recording.presentations import tidy_presentations

DT = 1 / 30


def shown(frames, start=0.0, stimulus="film", dt=DT, **columns):
    onset = start + np.arange(len(frames)) * dt
    return pd.DataFrame(
        {"stimulus": stimulus, "start_time": onset, "stop_time": onset + dt, "frame": frames, **columns}
    )


def tidy(*tables, warnings=0):
    table, found = tidy_presentations(pd.concat(tables, ignore_index=True), "test")
    assert len(found) == warnings, found
    return table


def test_a_complete_movie_counts_its_showings():
    table = tidy(shown(np.tile(np.arange(10), 4)))
    assert table["repeat"].tolist() == np.repeat(range(4), 10).tolist()
    assert set(table["block"]) == {0}


def test_after_a_run_that_was_cut_off_all_frames_of_the_next_carry_one_number():
    table = tidy(shown([*range(10), *range(5), *range(10)]))
    assert table["repeat"].tolist() == [0] * 10 + [1] * 5 + [2] * 10


def test_a_run_that_starts_late_is_a_run():
    table = tidy(shown([*range(6, 10), *range(10), *range(10)]))
    assert table["repeat"].tolist() == [0] * 4 + [1] * 10 + [2] * 10


def test_a_run_cut_off_before_a_pause_and_one_that_starts_later_in_the_movie_are_two():
    table = tidy(shown(range(10)), shown(range(4), 1), shown(range(7, 10), 20), shown(range(10), 20.1))
    assert table["repeat"].tolist() == [0] * 10 + [1] * 4 + [2] * 3 + [3] * 10
    assert table["block"].tolist() == [0] * 10 + [1] * 4 + [2] * 13


def test_a_run_that_goes_on_after_an_interruption_is_one():
    table = tidy(shown(range(10)), shown(range(4), 1), shown(range(4, 10), 20), shown(range(10), 20.2))
    assert table["repeat"].tolist() == [0] * 10 + [1] * 10 + [2] * 10


def test_missing_rows_of_a_movie_part_neither_run_nor_block():
    movie = shown(np.tile(np.arange(100), 3))
    table = tidy(movie.drop(index=[*range(120, 170), 201]))
    assert set(table["block"]) == {0}
    assert table.groupby("repeat")["frame"].count().tolist() == [100, 50, 99]


def test_every_second_frame_and_frames_that_stayed_on():
    assert tidy(shown(np.tile(np.arange(0, 40, 2), 3)))["repeat"].tolist() == np.repeat(range(3), 20).tolist()
    assert tidy(shown(np.tile(np.repeat(np.arange(8), 2), 2)))["repeat"].tolist() == [0] * 16 + [1] * 16


def test_images_in_any_order_count_each_ones_own_showings():
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.permutation(20) for _ in range(5)])[:-7]
    table = tidy(shown(frames, dt=0.25))
    assert (table["repeat"] == pd.Series(frames).groupby(frames).cumcount()).all()


def test_blanks_belong_to_no_run_and_do_not_break_one():
    table = tidy(shown([0, 1, 2, -1, 3, 4, -1, 0, 1, 2, 3, 4]))
    assert table.loc[table["frame"] >= 0, "repeat"].tolist() == [0] * 5 + [1] * 5
    assert tidy(shown([0, np.nan, 1]))["frame"].tolist() == [0, -1, 1]


def test_blocks_lie_between_other_stimuli_and_pauses():
    film, again = shown(range(10)), shown(range(10), 10)
    assert tidy(film, again).groupby("start_time")["block"].first().tolist() == [0] * 10 + [1] * 10
    grey = pd.DataFrame({"stimulus": "grey", "start_time": [DT * 10], "stop_time": [DT * 20]})
    table = tidy(film, grey, shown(range(10), DT * 20))
    assert table[table["stimulus"] == "film"]["block"].tolist() == [0] * 10 + [1] * 10
    # Gratings with grey between them are one block.
    gratings = shown([0, 1, 2, 3] * 3, dt=3.0).assign(stop_time=lambda t: t["start_time"] + 2)
    assert set(tidy(gratings)["block"]) == {0}


def test_something_that_goes_on_all_the_while_parts_no_blocks():
    sound = pd.DataFrame(
        {"stimulus": "tone", "start_time": np.arange(10) * 2 * DT + 0.01, "stop_time": np.arange(10) * 2 * DT + 0.02}
    )
    assert set(tidy(shown(range(20)), sound).query("stimulus == 'film'")["block"]) == {0}


def test_blocks_of_the_source_are_kept():
    table = tidy(shown(range(5), stimulus_block=3.0), shown(range(5), 1, stimulus_block=7.0))
    assert table["block"].tolist() == [3] * 5 + [7] * 5
    assert tidy(shown(range(5), stimulus_block=[1, 1, np.nan, 1, 1]))["block"].tolist() == [0] * 5


def test_both_spellings_are_one_stimulus():
    table = tidy(shown(range(5), stimulus="natural_movie_one"), shown(range(5), 1, stimulus="natural_movie_1"))
    assert set(table["stimulus"]) == {"natural_movie_one"}
    assert table["repeat"].tolist() == [0] * 5 + [1] * 5


def test_tidying_twice_changes_nothing():
    table = tidy(shown([*range(10), *range(5), *range(10)]), shown(range(10), 30))
    again, _ = tidy_presentations(table, "test")
    pd.testing.assert_frame_equal(again, table)


def test_conditions_are_numbered_and_blanks_of_gratings_found():
    gratings = pd.DataFrame(
        {
            "stimulus": "static_gratings", "start_time": np.arange(5.0), "stop_time": np.arange(5.0) + 0.25,
            "orientation": [30, 0, np.nan, 30, 30], "spatial_frequency": [0.02, 0.02, np.nan, 0.04, 0.02],
            "phase": [0.0, 0.5, np.nan, 0.0, 0.0], "size": "[250.0, 250.0]",
        }
    )  # fmt: skip
    flashes = pd.DataFrame(
        {"stimulus": "flashes", "start_time": 10.0 + np.arange(4), "stop_time": 10.25 + np.arange(4), "color": [1, -1, -1, 1], "contrast": 0.8,
         "size": "[300.0, 300.0]"}
    )  # fmt: skip
    table = tidy(gratings, flashes)
    assert table["frame"].tolist() == [1, 0, -1, 2, 1, 1, 0, 0, 1]
    assert table["repeat"].tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 1]


def test_missing_stop_times_end_with_the_next_frame_and_not_with_the_next_block():
    table = tidy(shown(range(5)).drop(columns="stop_time"), shown(range(5), 60).drop(columns="stop_time"))
    np.testing.assert_allclose(table["stop_time"] - table["start_time"], DT, atol=1e-9)


def test_what_is_mended_is_told():
    table = shown(range(6)).astype({"frame": float})
    table.loc[1, "frame"], table.loc[2, "frame"], table.loc[3, "start_time"] = 1.5, -7, np.inf
    tidied, warnings = tidy_presentations(table, "test")
    assert tidied["frame"].tolist() == [0, -1, -1, 4, 5]
    assert len(warnings) == 2
    assert "1.5" in " ".join(warnings)
    _, warnings = tidy_presentations(shown(range(3), -1), "test")
    assert "before time 0" in warnings[0]
    _, warnings = tidy_presentations(shown(range(3)).assign(stimulus=["film", None, ""]), "test")
    assert "2 presentations have no stimulus" in warnings[0]


def test_overlaps_are_told_and_jitter_is_not():
    rng = np.random.default_rng(1)
    table = shown(range(50))
    table["stop_time"] += rng.uniform(-1e-3, 1e-3, 50)
    assert tidy_presentations(table, "test")[1] == []
    table.loc[10, "stop_time"] += 0.18
    (warning,) = tidy_presentations(table, "test")[1]
    assert warning.startswith("5 presentations start while another")


@pytest.mark.parametrize("column", ["stimulus", "start_time"])
def test_a_missing_column_is_named(column):
    with pytest.raises(NeurratorError, match=column):
        tidy_presentations(shown(range(3)).drop(columns=column), "test")


def test_a_column_that_is_there_twice_is_named():
    with pytest.raises(NeurratorError, match="more than one column 'frame'"):
        tidy_presentations(pd.concat([shown(range(3)), shown(range(3))[["frame"]]], axis=1), "test")


def test_presentations_that_stop_before_they_start_are_refused():
    with pytest.raises(NeurratorError, match=r"1 presentations of test stop before they start \(the first at 0\.067 s"):
        tidy_presentations(shown(range(5)).assign(stop_time=[1, 1, 0, 1, 1.0]), "test")


@pytest.mark.parametrize("names", [["film"], [f"s{k}" for k in range(54_000)]])
def test_a_session_of_allen_size_is_fast(names):
    table = shown(np.tile(np.arange(900), 60)).assign(stimulus=np.resize(names, 54_000))
    before = time.perf_counter()
    tidy_presentations(table, "test")
    assert time.perf_counter() - before < 1.5  # 0.1 to 0.25 s on an idle core


def test_the_real_gratings_count_as_before():
    folder = Path(os.environ.get("NEURRATOR_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    file = folder / "allen_visp_732592105_gratings.nwb"
    if not file.exists():
        pytest.skip(f"the real recording {file.name} is not here (set NEURRATOR_REAL_DATA to its folder)")
    table = open_recording(file).presentations
    assert (table["repeat"] == table.groupby(["stimulus", "frame"]).cumcount()).all()
    found, _ = tidy_presentations(table.drop(columns=["stimulus_block", "block"]), "test")
    assert (found["block"] == table["stimulus_block"]).all()


wild = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -1.0, 1.0, 0.5, 1e300, -1e300, np.nan, np.inf]),
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "natural_movie_one", "natural_movie_1", "", None]), wild, wild, wild,
            st.one_of(wild, st.integers(-2, 5).map(float)),
        ),
        max_size=30,
    ),
    columns=st.sets(st.sampled_from(["stop_time", "frame", "orientation", "color", "stimulus_block"])),
)  # fmt: skip
def test_any_table_gives_a_table_or_a_sentence(rows, columns):
    given_columns = {
        "stimulus": 0,
        "start_time": 1,
        "stop_time": 2,
        "frame": 4,
        "orientation": 3,
        "color": 4,
        "stimulus_block": 4,
    }
    wanted = {"stimulus", "start_time"} | columns
    table = pd.DataFrame({name: [row[k] for row in rows] for name, k in given_columns.items() if name in wanted})
    try:
        tidied, warnings = tidy_presentations(table, "test")
    except NeurratorError:
        return
    assert all(isinstance(warning, str) for warning in warnings)
    assert tidied["start_time"].is_monotonic_increasing
    assert (tidied["stop_time"] >= tidied["start_time"]).all()
    assert (tidied["frame"] >= -1).all()
    assert (tidied["repeat"] >= 0).all()
    assert {column: tidied[column].dtype.kind for column in ("frame", "repeat", "block")} == dict.fromkeys(
        ("frame", "repeat", "block"), "i"
    )
