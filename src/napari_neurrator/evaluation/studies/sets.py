"""Sets of units of a session, and what they score; worked out once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NeurratorError
from ..material import Material
from ..nulls import circular_shifts, permuted_frames
from ..report import write_json
from ..scores import truth, two_way
from ..sentences import Narrator
from ..statistics import smallest_p

# What sets of units are compared by.
SCORES = ("two_way", "patch_cosine")


@dataclass(eq=False)
class StudySession:
    """One session of a study.

    Attributes
    ----------
    name : str
        What it is called in the report.
    material : Material
        Decoder, moments, frames.
    folder : pathlib.Path
        Of the study's report.
    """

    name: str
    material: Material
    folder: Path

    @property
    def cache(self) -> Path:
        """Where scores of sets are kept."""
        return self.folder / "cache"

    def groups(self, column: str, wanted: list[str] | None, min_units: int) -> dict[str, list]:
        """Return the units of each group, {value: units}, of groups with enough of them.

        Raises
        ------
        NeurratorError
            No such column, or a wanted group with too few units.
        """
        units = self.material.recording.units.loc[self.material.unit_ids]
        if column not in units or not units[column].astype(str).str.strip().replace({"nan": "", "unknown": ""}).any():
            raise NeurratorError(
                f"The units of {self.name} say nothing in the column {column!r}: choose one of {', '.join(map(str, units.columns))}."
            )
        found = {
            str(value): list(rows.index)
            for value, rows in units.groupby(column)
            if str(value) not in ("", "unknown", "nan")
        }
        for name in wanted or []:
            if len(found.get(name, [])) < min_units:
                raise NeurratorError(
                    f"{self.name} has {len(found.get(name, []))} units with {column} {name!r}, and the study needs {min_units}: leave it out or lower min_units."
                )
        chosen = {
            name: units for name, units in found.items() if (name in wanted if wanted else len(units) >= min_units)
        }
        if not chosen:
            raise NeurratorError(
                f"No {column} of {self.name} has {min_units} units: lower min_units or choose another column."
            )
        return chosen

    def table(self, units: list) -> dict[str, np.ndarray]:
        """Return the tables (moment, frame) of `SCORES` for a set of units."""
        material = self.material
        parts = [material.pool.similarities(grids) for grids in material.decode(units)]
        centred = np.concatenate([part[1] for part in parts])
        return {
            "two_way": two_way(centred, material.pool.picture),
            "patch_cosine": np.concatenate([part[0] for part in parts]),
        }

    def scores(self, units: list) -> dict[str, float]:
        """Return the mean scores of a set of units, from the cache where they were worked out before."""

        def work() -> dict[str, float]:
            tables = self.table(units)
            return {name: float(truth(tables[name], self.material.course.frame).mean()) for name in SCORES}

        return self.remembered("scores", units, work)

    def remembered(self, what: str, units: list, work: Callable[[], Any]) -> Any:
        """Return what `work` gives for a set of units (plain values), read from the cache where it was done before."""
        file = self.cache / f"{self.material.key(units)}.{what}.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass
        done = work()
        self.cache.mkdir(parents=True, exist_ok=True)
        write_json(file, done)
        return done

    @cached_property
    def null_frames(self) -> np.ndarray:
        """Frames that moments are held against under the main null, (draw, moment)."""
        material = self.material
        rng = np.random.default_rng([material.config.seed, 10])
        n = material.config.n_permutations
        if material.film:
            return circular_shifts(material.course, n, rng)[0]
        return permuted_frames(material.course.frame, len(material.pool), n, rng)

    @cached_property
    def smallest_p(self) -> float:
        """The least p-value that the main null leaves possible, not corrected."""
        return smallest_p(self.null_frames, self.material.course.frame)

    @cached_property
    def narrator(self) -> Narrator:
        """Puts grids into words."""
        material = self.material
        config = material.config
        return Narrator(material.make_language(material.profile), config.prompt, config.max_new_tokens)

    def say(self, units: list) -> list[str]:
        """Return what a set of units says at the narrated moments."""
        material = self.material
        return self.remembered(
            "said",
            units,
            lambda: [
                text
                for grids in material.decode(units, material.narrated)
                for text in self.narrator(material.stored.spoken(grids))
            ],
        )
