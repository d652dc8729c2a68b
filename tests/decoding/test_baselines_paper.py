"""The paper's network: its shapes, its training, and a training that is stopped and resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_neurrator.decoding.baselines.options import NetworkOptions
from napari_neurrator.decoding.baselines.paper import PaperDecoder, PaperOptions, info_nce, patch_loss
from napari_neurrator.decoding.baselines.paper_network import ImageNetwork, PatchNetwork
from napari_neurrator.errors import NeurratorError, Stopped

from .baselines_data import SMALL, asked, session


@pytest.mark.parametrize("units", [1, 37, 400])
def test_parameters_are_as_many_as_in_the_paper(units):
    network = PatchNetwork(units, 576, 1024, NetworkOptions())
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_093_568 + 3_200 * units


def test_defaults_are_the_papers():
    options = PaperOptions()
    assert (options.epochs, options.batch_size, options.lr, options.weight_decay) == (60, 64, 3e-4, 1e-3)
    assert (options.clip, options.patience, options.jitter, options.unit_dropout) == (1.0, 12, 2, 0.1)
    assert (options.width, options.heads, options.conv_channels, options.layers, options.dropout) == (384, 8, 128, 2, 0.2)  # fmt: skip
    assert options.info_nce == 0


@pytest.mark.parametrize("kind", ["patches", "images"])
def test_asking_some_units_is_the_same_as_zeroing_the_others(kind):
    sizes = NetworkOptions(width=16, heads=2, conv_channels=8)
    network = (PatchNetwork(9, 5, 4, sizes) if kind == "patches" else ImageNetwork(9, 5, sizes)).eval()
    spikes, units = torch.randn(3, 20, 9), torch.tensor([1, 4, 8])
    zeroed = torch.zeros_like(spikes)
    zeroed[:, :, units] = spikes[:, :, units]
    torch.testing.assert_close(network(spikes[:, :, units], units), network(zeroed), atol=1e-5, rtol=1e-4)


def test_the_loss_is_half_squared_error_and_half_cosine():
    true = torch.randn(2, 3, 4)
    assert patch_loss(true, true) == pytest.approx(0, abs=1e-6)
    assert patch_loss(-true, true) == pytest.approx(0.5 * float((2 * true).square().mean()) + 1, rel=1e-5)


def test_info_nce_prefers_grids_that_find_their_own():
    true = torch.randn(6, 3, 4)
    assert info_nce(true, true, 0.07) < info_nce(true.roll(1, 0), true, 0.07)


def test_a_stopped_training_goes_on_as_if_it_had_never_stopped(tmp_path):
    data, test = session()
    options = SMALL | {"epochs": 5, "info_nce": 0.1}
    whole = PaperDecoder.fit(data, options)

    def stop(stage, done, total):
        assert total == 5 * 3
        if done == 8:
            raise Stopped

    kept = options | {"checkpoint": str(tmp_path)}
    with pytest.raises(Stopped):
        PaperDecoder.fit(data, kept, stop)
    assert [file.name for file in tmp_path.iterdir()] == ["training.safetensors"]
    steps = []
    resumed = PaperDecoder.fit(data, kept, lambda stage, done, total: steps.append((done, total)))
    assert steps == [(done, 15) for done in range(7, 16)]
    assert resumed.training == whole.training
    assert torch.equal(resumed.predict(*asked(data, test, [0, 1])), whole.predict(*asked(data, test, [0, 1])))
    finished = PaperDecoder.fit(data, kept, lambda *_: pytest.fail("trained again"))
    assert torch.equal(finished.predict(*asked(data, test, [0, 1])), whole.predict(*asked(data, test, [0, 1])))


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path):
    data, _ = session()
    options = SMALL | {"epochs": 1, "checkpoint": str(tmp_path)}
    PaperDecoder.fit(data, options)
    with pytest.raises(NeurratorError, match="another folder"):
        PaperDecoder.fit(data, options | {"lr": 0.1})
    with pytest.raises(NeurratorError, match="another folder"):
        PaperDecoder.fit(session(seed=1)[0], options)
    with pytest.raises(NeurratorError, match="another folder"):
        PaperDecoder.fit(replace(data, grids=data.grids[::-1].copy()), options)
    file = tmp_path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(NeurratorError, match="damaged"):
        PaperDecoder.fit(data, options)


def test_in_bfloat16_a_processor_learns_about_the_same():
    data, test = session()
    fits = [PaperDecoder.fit(data, SMALL | {"epochs": 3, "precision": how}) for how in ("auto", "float32", "bfloat16")]
    units = list(range(data.windows.shape[2]))
    plain, same, halved = (one.predict(*asked(data, test, units)) for one in fits)
    torch.testing.assert_close(plain, same)
    assert not torch.equal(plain, halved)
    assert torch.nn.functional.cosine_similarity(plain.flatten(), halved.flatten(), dim=0) > 0.98


def test_it_stops_early_and_keeps_the_best_weights():
    data, _ = session()
    # A rate at which nothing is learnt any more after a step or two.
    decoder = PaperDecoder.fit(data, SMALL | {"epochs": 60, "patience": 2, "lr": 3.0})
    assert decoder.training["epochs"] < 60
    rows = data.validation
    assert decoder.score(data.windows[rows], data.unit_ids, data.grids[data.frames[rows]]) == pytest.approx(
        decoder.training["validation_patch_cosine"], abs=1e-4
    )


def test_fewer_moments_than_a_batch_and_wide_counts_are_fine():
    data, test = session()
    data = type(data)(**{**vars(data), "train": data.train[:5], "windows": data.windows.astype(np.uint16)})
    grids = PaperDecoder.fit(data, SMALL | {"epochs": 1}).predict(*asked(data, test, [0]))
    assert grids.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"width": 10, "heads": 4}, "not a multiple"),
        ({"jitter": 20}, "20 bins only"),
        ({"lr": "fast"}, "lr='fast'"),
    ],
)
def test_options_that_are_not_possible_are_named(wrong, message):
    with pytest.raises(NeurratorError, match=message):
        PaperDecoder.fit(session()[0], SMALL | wrong)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_split_without_training_or_validation_is_refused(part):
    data, _ = session()
    with pytest.raises(NeurratorError, match="leaves no moments"):
        PaperDecoder.fit(type(data)(**{**vars(data), part: data.train[:0]}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(NeurratorError, match="no GPU"):
        PaperDecoder.fit(session()[0], SMALL | {"accelerator": "gpu"})
