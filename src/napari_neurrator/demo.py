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

_SCREEN = "1600x1000x24"
_FRAMES_NARRATED = 24
# A scene at night whose objects the dictionary has features for.
_FRAME = 562


def has_display() -> bool:
    """Tell whether a window can be shown to somebody."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


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
    result = out / ".demo.json"
    result.unlink(missing_ok=True)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if run.returncode or not result.is_file():
        (out / "demo.log").write_text(run.stdout + run.stderr, encoding="utf-8")
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
    (out / "narrations.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")
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
    (out / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
