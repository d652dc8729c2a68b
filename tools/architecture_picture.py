"""Draw docs/images/architecture.svg, the picture of the rooms and what passes between them: ``python -m tools.architecture_picture``."""

from html import escape
from pathlib import Path

FILE = Path(__file__).parents[1] / "docs" / "images" / "architecture.svg"
WIDTH, HEIGHT = 1120, 600
# Okabe and Ito's colours, pale: what is read, what is frozen, what is fitted, what judges, what runs, what is seen.
_READ, _FROZEN, _FITTED, _JUDGES, _RUNS, _SEEN = "#d6e9f5", "#e8e0d2", "#d4ede3", "#f6e5ee", "#eeeeee", "#fdf0cf"
# Room: (x, y, width, height, colour, lines below its name).
ROOMS: dict[str, tuple[int, int, int, int, str, list[str]]] = {
    "recording/": (30, 200, 190, 150, _READ, ["units, spike trains,", "presentations,", "stimuli; the sample", "no torch"]),
    "vision/": (290, 400, 190, 110, _FROZEN, ["frozen CLIP:", "frame → patch grid"]),
    "decoding/": (290, 220, 190, 110, _FITTED, ["any subset of units →", "patch grid"]),
    "language/": (560, 90, 190, 90, _FROZEN, ["frozen LLaVA:", "grid → sentence"]),
    "concepts/": (560, 205, 190, 90, _FROZEN, ["sparse autoencoder:", "grid → heatmaps"]),
    "evaluation/": (560, 320, 190, 90, _JUDGES, ["evidence, nulls,", "reports, studies"]),
    "attribution/": (560, 435, 190, 90, _JUDGES, ["which units carry it"]),
    "backend/": (830, 90, 120, 435, _RUNS, ["one protocol:", "", "this process,", "a process of", "its own,", "a server,", "a cluster"]),
    "gui/": (1000, 90, 100, 130, _SEEN, ["napari", "and Qt,", "only here"]),
    "cli/": (1000, 240, 100, 80, _SEEN, ["without", "a window"]),
    "api.py": (1000, 340, 100, 80, _SEEN, ["notebooks"]),
    "export/": (1000, 440, 100, 85, _SEEN, ["NWB, MP4,", "figures"]),
}  # fmt: skip
# Arrows: points, then the words on them and where these stand.
ARROWS: list[tuple[list[tuple[int, int]], str, tuple[int, int]]] = [
    ([(220, 275), (290, 275)], "spikes", (255, 265)),
    ([(125, 350), (125, 455), (290, 455)], "frames", (205, 445)),
    ([(385, 400), (385, 330)], "training target", (440, 370)),
    ([(480, 265), (520, 265), (520, 135), (560, 135)], "", (0, 0)),
    ([(480, 265), (520, 265), (520, 250), (560, 250)], "patch grid", (521, 215)),
    ([(480, 285), (520, 285), (520, 365), (560, 365)], "", (0, 0)),
    ([(520, 365), (520, 480), (560, 480)], "", (0, 0)),
    ([(480, 480), (505, 480), (505, 385), (560, 385)], "true grid", (520, 502)),
    ([(750, 135), (830, 135)], "text", (790, 125)),
    ([(750, 250), (830, 250)], "heatmaps", (790, 240)),
    ([(750, 365), (830, 365)], "evidence", (790, 355)),
    ([(750, 480), (830, 480)], "units", (790, 470)),
    ([(950, 155), (1000, 155)], "", (0, 0)),
    ([(950, 280), (1000, 280)], "", (0, 0)),
    ([(950, 380), (1000, 380)], "", (0, 0)),
    ([(950, 482), (1000, 482)], "", (0, 0)),
]


def _text(
    x: int, y: int, words: str, size: int = 13, weight: str = "normal", anchor: str = "middle", colour: str = "#222"
) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def svg() -> str:
    """Return the picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" role="img" aria-label="The rooms and what passes between them">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#444"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(30, 40, "From spikes to a sentence", 20, "bold", "start"),
        _text(30, 64, "What passes between the rooms. Imports go the other way, from right to left only.", 13, "normal", "start", "#555"),
    ]  # fmt: skip
    for points, words, (x, y) in ARROWS:
        line = " ".join(f"{px},{py}" for px, py in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#head)"/>'
        )
        if words:
            halo = f'<text x="{x}" y="{y}" font-size="12" text-anchor="middle" stroke="#fff" stroke-width="4">{words}</text>'
            parts += [halo, _text(x, y, words, 12, colour="#444")]
    for name, (x, y, width, height, colour, lines) in ROOMS.items():
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colour}" stroke="#777"/>')
        parts.append(_text(x + width // 2, y + 26, name, 15, "bold"))
        parts += [_text(x + width // 2, y + 50 + 18 * row, line) for row, line in enumerate(lines)]
    legend = [
        (_READ, "what was recorded"),
        (_FROZEN, "frozen"),
        (_FITTED, "fitted"),
        (_JUDGES, "judges"),
        (_RUNS, "runs it"),
        (_SEEN, "what a person uses"),
    ]
    for number, (colour, words) in enumerate(legend):
        x = 30 + 175 * number
        parts.append(
            f'<rect x="{x}" y="562" width="16" height="16" rx="3" fill="{colour}" stroke="#777"/>'
            + _text(x + 24, 575, words, 12, anchor="start")
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Write it."""
    FILE.write_text(svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
