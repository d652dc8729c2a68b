"""``neurrator inspect``."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

_RULE, _QUALITY = "Optotagging", "Quality control"


def inspect(
    recording: Annotated[
        str,
        typer.Argument(
            help="An NWB file or its address, a Kilosort or phy folder, a SortingAnalyzer, an ALF folder, a pool, or the word 'sample'."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    units: Annotated[
        str | None, typer.Option(metavar="QUERY", help="""Only these units, such as 'within("VIS") and passes_qc'.""")
    ] = None,
    presentations: Annotated[
        Path | None, typer.Option(help="What was shown when, from a file instead of the recording.")
    ] = None,
    optotag: Annotated[
        bool | None,
        typer.Option(
            help="Find out which units answer to light (needs their spike times). By default unless the recording is behind an address.",
            rich_help_panel=_RULE,
        ),
    ] = None,
    optotag_ratio: Annotated[
        float | None,
        typer.Option(help="Evoked over baseline rate above which a unit is tagged (2).", rich_help_panel=_RULE),
    ] = None,
    optotag_regulariser: Annotated[
        float | None, typer.Option(help="Added to the baseline rate, Hz (1).", rich_help_panel=_RULE)
    ] = None,
    optotag_pulse: Annotated[
        float | None, typer.Option(help="Length of the pulses that count, ms (10).", rich_help_panel=_RULE)
    ] = None,
    optotag_tolerance: Annotated[
        float | None, typer.Option(help="By how much pulses may differ from it, ms (1).", rich_help_panel=_RULE)
    ] = None,
    optotag_evoked: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Evoked window after onset, ms (1 9).", rich_help_panel=_RULE),
    ] = None,
    optotag_baseline: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Baseline window relative to onset, ms (-10 -2).", rich_help_panel=_RULE),
    ] = None,
    optotag_level: Annotated[
        Literal["all", "highest"] | None,
        typer.Option(help="Pulses of all intensities, or of the highest only.", rich_help_panel=_RULE),
    ] = None,
    optotag_min_pulses: Annotated[
        int | None, typer.Option(help="Fewer pulses say nothing (10).", rich_help_panel=_RULE)
    ] = None,
    optotag_artefact: Annotated[
        float | None, typer.Option(help="Left out after onset and before offset, ms (1).", rich_help_panel=_RULE)
    ] = None,
    optotag_max_p: Annotated[
        float | None,
        typer.Option(help="Ask also that the answer is this unlikely by chance (not asked).", rich_help_panel=_RULE),
    ] = None,
    max_amplitude_cutoff: Annotated[
        float | None, typer.Option(help="Largest amplitude cutoff (0.1).", rich_help_panel=_QUALITY)
    ] = None,
    min_presence_ratio: Annotated[
        float | None, typer.Option(help="Smallest presence ratio (0.95).", rich_help_panel=_QUALITY)
    ] = None,
    max_isi_violations: Annotated[
        float | None, typer.Option(help="Largest rate of ISI violations (0.5).", rich_help_panel=_QUALITY)
    ] = None,
    narrow_below: Annotated[
        float | None, typer.Option(help="Trough to peak below which a spike is narrow, ms (0.4).")
    ] = None,
) -> None:
    """Say what is in a recording: units, where and what they are, what was shown, light pulses."""
    from ..recording import open_recording
    from ..recording.inspect import account, summary
    from .progress import show_sample_being_made

    evoked, baseline = optotag_evoked or (None, None), optotag_baseline or (None, None)
    rules = _rules(
        {
            "ratio": optotag_ratio,
            "regulariser_hz": optotag_regulariser,
            "pulse_s": _seconds(optotag_pulse),
            "tolerance_s": _seconds(optotag_tolerance),
            "evoked_start_s": _seconds(evoked[0]),
            "evoked_stop_s": _seconds(evoked[1]),
            "baseline_start_s": _seconds(baseline[0]),
            "baseline_stop_s": _seconds(baseline[1]),
            "level": optotag_level,
            "min_pulses": optotag_min_pulses,
            "artefact_s": _seconds(optotag_artefact),
            "max_p": optotag_max_p,
        },
        {
            "max_amplitude_cutoff": max_amplitude_cutoff,
            "min_presence_ratio": min_presence_ratio,
            "max_isi_violations": max_isi_violations,
        },
        narrow_below,
    )
    show_sample_being_made(recording)
    opened = open_recording(recording, presentations=presentations, rules=rules, optotag=optotag)
    chosen = None if units is None else opened.select_units(units)
    if as_json:
        print(json.dumps(summary(opened, rules, chosen), indent=1, allow_nan=False))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(account(opened, rules, chosen, width))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _rules(optotagging: dict[str, Any], quality: dict[str, Any], narrow_below_ms: float | None) -> Any:
    """Return the rules with what was asked for; None where nothing was."""
    from pydantic import ValidationError

    from ..errors import NeurratorError
    from ..recording.cell_types import OptotaggingRule
    from ..recording.describe_units import UnitRules

    asked = {
        "optotagging": {name: value for name, value in optotagging.items() if value is not None},
        "quality": {name: value for name, value in quality.items() if value is not None},
    }
    if narrow_below_ms is not None:
        asked["narrow_below_ms"] = narrow_below_ms  # type: ignore[assignment]
    if not any(asked.values()):
        return None
    try:
        return UnitRules.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        where, reason = str(first["loc"][-1]), first["msg"].removeprefix("Value error, ")
        # The windows are checked together, and their options say ms where fields say seconds.
        name = re.sub(r"(_start|_stop)?(_s|_ms|_hz)$", "", where).replace("_", "-")
        option = f"--optotag-{name}" if where in OptotaggingRule.model_fields else f"--{name}"
        what = "What the --optotag options say" if where == "optotagging" else option
        raise NeurratorError(f"{what} cannot be used: {reason[0].lower()}{reason[1:]}.") from error
