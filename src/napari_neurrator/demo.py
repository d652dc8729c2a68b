"""The demonstration without anybody at the screen: a real window, driven by mouse events, under a virtual display."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .errors import NeurratorError
from .writing import check_writable, write_text

_SCREEN = "1600x1000x24"
_FRAMES_NARRATED = 24
# A scene at night whose objects the dictionary has features for.
_FRAME = 562
_FILES = ("viewer.png", "narrations.jsonl", "summary.json", "demo.log")
# Hands over what the window did; left in a folder where a demonstration was stopped or failed.
_MARK = ".demo.json"


def has_display() -> bool:
    """Tell whether a window can be shown to somebody."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def demo_folder(out: str | Path) -> Path:
    """Return the folder of a demonstration, made if it is not there.

    Raises
    ------
    NeurratorError
        It cannot be written to, or files of these names lie in it that no demonstration wrote.
    """
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise NeurratorError(f"{out} is a file: give a folder for --out.")
    there = next((name for name in _FILES if (folder / name).exists()), None)
    if there and not (folder / _MARK).exists() and not _is_own(folder / "summary.json"):
        raise NeurratorError(
            f"{folder / there} is there already and was not written by this program: give another folder with --out, or move it away."
        )
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder, out)
    return folder


def _is_own(summary: Path) -> bool:
    try:
        return {"package_version", "n_units_selected", "narrated_moments"} <= set(
            json.loads(summary.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, TypeError):
        return False


def run_headless(decoder: str, stimulus: str, out: Path) -> dict[str, Any]:
    """Drive the window in a process of its own, under Xvfb where that is installed, and return what it did.

    Raises
    ------
    NeurratorError
        There is neither a display nor Xvfb, or the window failed.
    """
    command = [sys.executable, "-m", "napari_neurrator.gui.demo", decoder, stimulus, str(out), str(_FRAME)]
    environment = dict(os.environ)
    if shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", f"-screen 0 {_SCREEN}", *command]
        # A Wayland session would take the window away from the virtual screen.
        environment.pop("WAYLAND_DISPLAY", None)
        environment["QT_QPA_PLATFORM"] = "xcb"
    elif not has_display():
        raise NeurratorError(
            "There is no display and no virtual one: install Xvfb (on Debian: apt-get install xvfb) and try again."
        )
    result = out / _MARK
    write_text(result, "")
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if run.returncode or not result.stat().st_size:
        write_text(out / "demo.log", run.stdout + run.stderr)
        last = (run.stderr.strip().splitlines() or ["no output"])[-1]
        raise NeurratorError(
            f"The window of the demonstration failed ({last}); its whole output is in {out / 'demo.log'}."
        )
    done = json.loads(result.read_text(encoding="utf-8"))
    result.unlink()
    return done


def write_results(result: dict[str, Any], out: Path, seconds: float) -> None:
    """Narrate frames from the whole film with the units that were lassoed, and write narrations.jsonl and summary.json.

    Parameters
    ----------
    result : dict
        What `run_headless` returned; ``regions`` is added to it.
    out : pathlib.Path
        Folder to write to.
    seconds : float
        How long the demonstration took up to here.
    """
    from .backend.local import InProcessBackend
    from .backend.narrations import choose_moments, narrate_moments, summary_of
    from .config import NarrateConfig
    from .decoding import decoder_info
    from .recording import moments as moments_of
    from .recording import open_recording, open_stimulus

    info = decoder_info(result["decoder"])
    recording = open_recording("sample")
    stimulus, name = open_stimulus(recording, info.stimulus)
    everything = moments_of(recording, name, stimulus)
    held_out = choose_moments(
        everything,
        info,
        None,
        True,
        int(result["repeat"]) if info.is_held_out(int(result["repeat"]), int(result["frame"])) else None,
    )
    chosen = held_out.iloc[np.linspace(0, len(held_out) - 1, _FRAMES_NARRATED).round().astype(int)]
    config = NarrateConfig(recording="sample", decoder=result["decoder"], unit_ids=result["unit_ids"], held_out=True)
    backend = InProcessBackend()
    try:
        lines = list(narrate_moments(backend, recording, stimulus, chosen, info, result["unit_ids"], config))
    finally:
        backend.close()
    write_text(out / "narrations.jsonl", "".join(line.model_dump_json() + "\n" for line in lines))
    result["regions"] = sorted(set(recording.units.loc[result["unit_ids"], "region"]))
    summary = {
        "simulated": recording.simulated,
        "package_version": __version__,
        "seconds": round(seconds, 1),
        **result,
        "n_units_selected": len(result["unit_ids"]),
        "decoder_metrics": info.metrics,
        "narrated_moments": len(lines),
        "same_as_true_frame": float(np.mean([line.text == line.reference for line in lines])),
        "more_than_chance": float(np.mean([bool(line.evidence and line.evidence.better) for line in lines])),
        "evidence": summary_of([line.evidence for line in lines]),
        "config": config.model_dump(),
    }
    write_text(out / "summary.json", json.dumps(summary, indent=1))
