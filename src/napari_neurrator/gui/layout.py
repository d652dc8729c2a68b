"""Where units and probes lie beside the movie frame, in one world whose unit is a pixel of the frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..recording.natural_order import natural_key

SHANK_GAP_UM = 100.0
"""Contacts of one shank are nearer to each other than this across the probe (Neuropixels 2.0 has its shanks 250 µm apart)."""
FLAT = 1.1
"""A frame wider than this has the probes below it, a squarer one to its right: so the frame stays large on a usual screen."""


@dataclass(frozen=True)
class Box:
    """A rectangle in the world, by its corners."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        """Extent along y."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Extent along x."""
        return self.right - self.left


@dataclass(frozen=True)
class Band:
    """The stretch of a shank that lies in one region, in world coordinates."""

    region: str
    top: float
    bottom: float
    x: float


@dataclass(frozen=True)
class Shank:
    """One shank as drawn."""

    box: Box
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Probe:
    """One probe as drawn.

    Attributes
    ----------
    name : str
        Its name.
    box : Box
        Round all its shanks.
    room : float
        Where its labels have to end, in x.
    shanks : tuple of Shank
        From left to right.
    labels : tuple of (str, float)
        Each region and the height at which its name stands, from top to bottom.
    """

    name: str
    box: Box
    room: float
    shanks: tuple[Shank, ...]
    labels: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Layout:
    """Positions of everything that is not the frame itself."""

    positions: np.ndarray
    diameter: float
    panel: Box
    frame: Box
    probes: tuple[Probe, ...]
    ticks: tuple[tuple[float, str], ...]
    warnings: tuple[str, ...] = field(default=())


def lay_out(units: pd.DataFrame, frame_height: int, frame_width: int) -> Layout:
    """Place the units of a recording beside a frame.

    Parameters
    ----------
    units : DataFrame
        The units table: ``x_um``, ``y_um``, ``probe``, ``region``, and ``shank`` where the source says so.
    frame_height, frame_width : int
        Size of the movie frame in pixels.

    Returns
    -------
    Layout
        ``positions`` has one row (y, x) a unit, in the order of the table.
    """
    frame = Box(-0.5, -0.5, frame_height - 0.5, frame_width - 0.5)
    panel = _panel(frame)
    probe = units["probe"].astype(str).to_numpy() if "probe" in units else np.full(len(units), "units")
    depth = _column(units, "y_um")
    lateral = _column(units, "x_um")
    region = units["region"].astype(str).to_numpy() if "region" in units else np.full(len(units), "")
    names = sorted({str(name) for name in probe}, key=natural_key)
    # one or two probes are not stretched over the whole panel
    pitch = panel.width / max(3, len(names))
    first = (panel.left + panel.right - pitch * len(names)) / 2
    placed = np.isfinite(depth)
    # a dot is as large as the crowd allows, and never a blot
    diameter = float(
        np.clip(np.sqrt(0.11 * panel.height * panel.width / max(1, len(units))), 0.006, 0.034 * panel.height)
    )
    diameter = max(diameter, 0.006 * panel.height)

    positions = np.zeros((len(units), 2))
    probes = []
    low, high = (float(depth[placed].min()), float(depth[placed].max())) if placed.any() else (0.0, 1.0)
    high = max(high, low + 1.0)
    margin = 0.035 * panel.height

    def to_y(um: np.ndarray | float) -> np.ndarray | float:
        return panel.bottom - margin - (um - low) / (high - low) * (panel.height - 2 * margin)

    for i, name in enumerate(names):
        left = first + i * pitch
        mine = np.flatnonzero(probe == name)
        groups = _shanks(units, mine, lateral)
        # several shanks share a probe's place, with room for the bar of regions of each
        box = Box(panel.top, left + 0.05 * pitch, panel.bottom, left + (0.58 if len(groups) == 1 else 0.70) * pitch)
        gap = 0.022 * panel.height if len(groups) > 1 else 0.0
        width = (box.width - gap * (len(groups) - 1)) / len(groups)
        shanks, seen = [], []
        for k, rows in enumerate(groups):
            side = box.left + k * (width + gap)
            own = Box(box.top, side, box.bottom, side + width)
            here, lost = rows[placed[rows]], rows[~placed[rows]]
            positions[here] = _swarm(np.asarray(to_y(depth[here])), lateral[here], own, diameter)
            positions[lost] = _grid(len(lost), own)
            bands = _bands(region[here], positions[here, 0], own.right)
            seen += list(bands)
            shanks.append(Shank(own, bands))
        room = left + pitch if i + 1 < len(names) else max(left + pitch, panel.right)
        probes.append(Probe(name, box, room, tuple(shanks), _labels(seen, panel)))

    warnings = []
    if not placed.all():
        warnings.append(f"{int((~placed).sum())} units have no position on the probe; they are laid out on a grid.")
    ticks = _ticks(low, high, to_y) if placed.any() else ()
    return Layout(positions, diameter, panel, frame, tuple(probes), ticks, tuple(warnings))


def _shanks(units: pd.DataFrame, rows: np.ndarray, lateral: np.ndarray) -> list[np.ndarray]:
    """Part the units of a probe into its shanks, from left to right: as the source says, or where there is a wide gap between them."""
    across = lateral[rows]
    if "shank" in units and units["shank"].iloc[rows].nunique() > 1:
        shank = units["shank"].iloc[rows].astype(str).to_numpy()
        groups = [rows[shank == name] for name in sorted(set(shank), key=natural_key)]
        middle = [np.nanmedian(lateral[g]) if np.isfinite(lateral[g]).any() else np.inf for g in groups]
        if len({round(m) for m in middle}) == len(groups):
            groups = [groups[i] for i in np.argsort(middle, kind="stable")]
        return groups
    if not np.isfinite(across).any():
        return [rows]
    order = np.argsort(across, kind="stable")  # no number comes last
    steps = np.nan_to_num(np.diff(across[order]), nan=0.0)
    return [part for part in np.split(rows[order], np.flatnonzero(steps > SHANK_GAP_UM) + 1) if len(part)]


def _panel(frame: Box) -> Box:
    if frame.width >= FLAT * frame.height:
        top, height = frame.bottom + 0.125 * frame.width, 0.46 * frame.width
        # as wide as a usual canvas allows once the frame and the panel fill its height
        width = float(np.clip(0.95 * (top + height - frame.top), frame.width, 1.6 * frame.width))
        middle = (frame.left + frame.right) / 2
        return Box(top, middle - width / 2, top + height, middle + width / 2)
    left = frame.right + 0.14 * frame.height
    return Box(frame.top, left, frame.bottom, left + 1.15 * frame.height)


def _column(units: pd.DataFrame, name: str) -> np.ndarray:
    if name not in units:
        return np.full(len(units), np.nan)
    return pd.to_numeric(units[name], errors="coerce").to_numpy(dtype=float)


def _swarm(y: np.ndarray, lateral: np.ndarray, box: Box, diameter: float) -> np.ndarray:
    """Spread points sideways, near their place across the shank, so that they do not hide each other."""
    n_lanes = max(1, int((box.width - diameter) // (1.05 * diameter)))
    lanes = np.linspace(box.left + diameter, box.right - diameter, n_lanes)
    low, high = (np.nanmin(lateral), np.nanmax(lateral)) if np.isfinite(lateral).any() else (0.0, 0.0)
    spread = (np.nan_to_num(lateral, nan=low) - low) / (high - low) if high > low else np.full(len(y), 0.5)
    wanted = spread * (n_lanes - 1)
    last = np.full(n_lanes, -np.inf)
    x = np.empty(len(y))
    for i in np.argsort(y, kind="stable"):
        free = np.flatnonzero(y[i] - last >= diameter)
        lane = free[np.argmin(np.abs(free - wanted[i]))] if len(free) else int(np.argmin(last))
        last[lane] = y[i]
        x[i] = lanes[lane]
    return np.column_stack([y, x])


def _grid(n: int, box: Box) -> np.ndarray:
    columns = max(1, int(np.ceil(np.sqrt(n * box.width / box.height))))
    rows = max(1, -(-n // columns))
    row, column = np.divmod(np.arange(n), columns)
    return np.column_stack([box.top + (row + 0.5) * box.height / rows, box.left + (column + 0.5) * box.width / columns])


def _bands(region: np.ndarray, y: np.ndarray, x: float) -> tuple[Band, ...]:
    """One band for each region of a shank, from top to bottom."""
    found = []
    for name in pd.unique(region):
        low, high = np.quantile(y[region == name], [0.02, 0.98])
        found.append(Band(str(name), float(low), float(high), x))
    return tuple(sorted(found, key=lambda band: band.top + band.bottom))


def _labels(bands: Sequence[Band], panel: Box) -> tuple[tuple[str, float], ...]:
    """Name each region of a probe once, at its middle over all shanks, and push names apart from each other."""
    middle: dict[str, list[float]] = {}
    for band in bands:
        middle.setdefault(band.region, []).append((band.top + band.bottom) / 2)
    wanted = sorted(((float(np.mean(at)), name) for name, at in middle.items()))
    gap = min(0.052, 1 / max(1, len(wanted))) * panel.height
    at = _apart([y for y, _ in wanted], gap, panel.top, panel.bottom)
    return tuple((name, y) for (_, name), y in zip(wanted, at, strict=True))


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move sorted places as little as needed so that each is `gap` from the next, within bounds."""
    out: list[float] = []
    for y in wanted:
        out.append(max(y, out[-1] + gap) if out else max(y, low + gap / 2))
    limit = high - gap / 2
    for i in range(len(out) - 1, -1, -1):
        out[i] = min(out[i], limit)
        limit = out[i] - gap
    return out


def _ticks(low: float, high: float, to_y: object) -> tuple[tuple[float, str], ...]:
    """Depths worth naming along the left edge: round numbers of µm from the tip."""
    span = high - low
    step = next((s for s in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if span / s <= 5), 10_000)
    first = int(np.ceil(low / step)) * step
    return tuple((float(to_y(um)), f"{um:,}") for um in range(first, int(high) + 1, step))  # type: ignore[operator]
