"""How far to trust a sentence, as the window shows it: greyed where it is not more than chance."""

import pytest

from napari_neurrator.gui import layer_styles as styles


def narrated(workspace, frame=0, repeat=3):
    session = workspace.session
    session.repeat, session.frame = repeat, frame
    session.select(session.unit_ids[:7])
    workspace.docks["Narrate"].go.click()
    workspace.wait(lambda: session.result is not None and session.result.finished)
    return session.result


def on_the_frame(workspace):
    """The words on the frame, and their colour as red, green, blue."""
    layer = workspace.layers.get(styles.SENTENCE)
    return " ".join(layer.text.values[0].split()), tuple(layer.text.color.constant[:3])


def greyed(dock):
    effect = dock.sentence.graphicsEffect()
    return effect is not None and effect.opacity() < 0.8


def test_a_sentence_that_is_more_than_chance_stands_out(room):
    workspace = room()
    narrated(workspace)
    dock = workspace.docks["Narrate"]
    assert not greyed(dock)
    assert dock.verdict.text() == "More than chance (p = 0.004)"
    assert "0.4% of the frames" in dock.because.text()
    assert on_the_frame(workspace) == (workspace.backend.sentence, (1, 1, 1))
    assert "evidence" in workspace.backend.requests[-1].want


def test_a_sentence_by_chance_is_greyed_and_says_so(room):
    workspace = room()
    workspace.backend.p = 0.31
    narrated(workspace)
    dock = workspace.docks["Narrate"]
    assert greyed(dock)
    assert dock.verdict.text() == "Not more than chance (p = 0.31)"
    assert dock.because.text().startswith("31% of the frames")
    words, colour = on_the_frame(workspace)
    assert words == f"Not more than chance (p = 0.31): {workspace.backend.sentence}"
    assert max(colour) < 0.75
    # what knowing nothing says, and what the true frame says, stay at hand
    assert dock.prior.text() == "a meadow by day"
    assert "red ball" in dock.reference.text()


def test_with_too_few_pictures_a_sentence_that_fits_best_is_not_greyed_but_proves_nothing(room):
    workspace = room()
    workspace.backend.p = workspace.backend.least = 0.25
    narrated(workspace)
    dock = workspace.docks["Narrate"]
    assert not greyed(dock)
    assert dock.verdict.text() == "Fits best of all, by luck in 25%"
    assert "one sentence alone" in dock.because.text()
    assert on_the_frame(workspace)[0] == workspace.backend.sentence
    workspace.backend.p = 0.75
    narrated(workspace, frame=10)
    assert greyed(dock)
    assert dock.verdict.text() == "Not more than chance (p = 0.75)"


def test_it_is_grey_while_it_streams_and_white_again_with_the_next(room):
    workspace = room()
    session, dock = workspace.session, workspace.docks["Narrate"]
    seen = []
    session.events.result.connect(lambda result: seen.append((bool(result and result.text), greyed(dock))))
    workspace.backend.p = 0.5
    narrated(workspace, frame=0)
    assert {grey for text, grey in seen if text} == {True}
    workspace.backend.p = 0.01
    narrated(workspace, frame=20)
    assert not greyed(dock)
    assert on_the_frame(workspace)[1] == (1, 1, 1)
    # and back to the first
    session.frame = 0
    assert greyed(dock)
    assert on_the_frame(workspace)[0].startswith("Not more than chance")


@pytest.mark.parametrize("p", [0.004, 0.4])
def test_a_showing_seen_in_fitting_is_no_test(room, p):
    workspace = room()
    workspace.backend.p = p
    narrated(workspace, repeat=0)
    dock = workspace.docks["Narrate"]
    assert "fitted on this showing" in dock.because.text()
    assert not dock.verdict.text().startswith("More than")
    assert greyed(dock) == (p == 0.4)
    assert dock.so_far.isHidden()


def test_a_decoder_without_evidence_says_what_to_do(room):
    workspace = room()
    workspace.backend.problem = "No evidence was measured for this decoder: fit it again."
    narrated(workspace)
    dock = workspace.docks["Narrate"]
    assert dock.because.text() == workspace.backend.problem
    assert dock.verdict.isHidden()
    assert not greyed(dock)
    assert on_the_frame(workspace)[0] == workspace.backend.sentence


def test_several_sentences_are_counted_against_luck(room):
    workspace = room()
    dock = workspace.docks["Narrate"]
    narrated(workspace, frame=0)
    assert dock.so_far.isHidden()
    workspace.backend.p = 0.5
    narrated(workspace, frame=10)
    narrated(workspace, frame=20, repeat=1)
    assert "1 of 2 sentences of these units" in dock.so_far.text()
    assert not dock.so_far.isHidden()
    workspace.session.select(workspace.session.unit_ids[:3])
    assert dock.verdict.isHidden()
    assert dock.because.isHidden()
    assert dock.so_far.isHidden()


def test_old_words_never_keep_their_grey(room):
    workspace = room()
    workspace.backend.p = 0.5
    narrated(workspace)
    workspace.session.frame = 30
    dock = workspace.docks["Narrate"]
    assert dock.sentence.text() == ""
    assert not greyed(dock)
    assert dock.verdict.isHidden()
