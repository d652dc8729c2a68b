"""How far to trust one sentence: does the frame shown fit what was decoded better than the other frames do? Free of torch."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

ALPHA = 0.05


class Evidence(BaseModel):
    """What stands beside a sentence.

    The gain of a frame is the patch cosine of the decoded grid with the frame's true grid, less that of the mean grid: how much nearer to this
    frame the units lead. `p` is the share of the frames shown whose gain is at least that of the true frame, itself among them. Where the units know
    nothing of the frame, the frame is as likely to be any of them, so `p` falls to 0.05 or below in at most one sentence in twenty, whatever the
    units are, however sure they are, and however alike the frames.
    """

    model_config = ConfigDict(extra="forbid")

    patch_cosine: float = Field(description="mean cosine of decoded and true patches")
    prior_cosine: float = Field(description="the same for the mean grid: what knowing nothing scores")
    gain: float = Field(description="patch_cosine less prior_cosine")
    usual: float = Field(description="median gain of the other frames")
    p: float = Field(description="share of the frames shown whose gain is at least as large")
    least: float = Field(
        description="the smallest p that this frame could have: one in so many frames, more where several look the same"
    )

    @property
    def better(self) -> bool:
        """Whether the sentence is more than chance: `p` is at most 0.05."""
        return self.p <= ALPHA

    def in_words(self, held_out: bool = True) -> str:
        """Say it in a sentence or two.

        Parameters
        ----------
        held_out : bool
            Whether the decoder was not fitted on this showing.
        """
        words = f"{self.verdict}: {self.because}"
        return words if held_out else f"Not a test: the decoder was fitted on this showing. {words}"

    @property
    def testable(self) -> bool:
        """Whether one sentence could be more than chance at all: enough different frames were shown."""
        return self.least <= ALPHA

    @property
    def best(self) -> bool:
        """Whether no other frame fits as well as the one shown, but for those that look the same."""
        return self.p <= self.least + 1e-9

    @property
    def greyed(self) -> bool:
        """Whether the sentence is shown greyed: other frames fit as well, too often for more than chance."""
        return not self.better and (self.testable or not self.best)

    @property
    def verdict(self) -> str:
        """Say it in a few words."""
        if not self.better and not self.greyed:
            return f"Fits best of all, by luck in {share_in_words(self.least)}"
        return f"{'More' if self.better else 'Not more'} than chance (p = {p_in_words(self.p)})"

    @property
    def because(self) -> str:
        """Say what the verdict rests on."""
        if not self.better and not self.greyed:
            return "so few different frames were shown that one sentence alone cannot be more than chance; look at many moments."
        return f"{share_in_words(self.p)} of the frames shown fit what was decoded at least as well."


def p_in_words(p: float) -> str:
    """Write a p-value with as many digits as it deserves."""
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def share_in_words(share: float) -> str:
    """Write a share in per cent."""
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


class EvidenceTable(BaseModel):
    """What a decoder's sentences are worth on held-out moments, by number of units drawn at random; stored with the decoder.

    Attributes
    ----------
    sizes : list of int
        Numbers of units, ascending.
    better : list of float
        Share of the moments at which the sentence is more than chance; about 0.05 where the units know nothing.
    gain : list of float
        Mean gain of the true frame.
    best : list of float
        Share of the moments at which no other frame fits as well.
    luck : float
        The same for units that know nothing; above 0.05 no single sentence can be more than chance.
    usual : list of float
        Mean of the other frames' median gain.
    moments, frames : int
        Moments that were decoded for each draw, and frames that they were held against.
    """

    model_config = ConfigDict(extra="forbid")

    sizes: list[int] = Field(min_length=1)
    better: list[float]
    best: list[float]
    luck: float
    gain: list[float]
    usual: list[float]
    moments: int = Field(ge=1)
    frames: int = Field(ge=1)

    @model_validator(mode="after")
    def _check(self) -> "EvidenceTable":
        if self.sizes != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise ValueError("sizes have to ascend")
        if any(len(row) != len(self.sizes) for row in (self.better, self.best, self.gain, self.usual)):
            raise ValueError("every size needs its figures")
        return self

    @classmethod
    def of(cls, found: dict[int, list[Evidence]], moments: int, frames: int) -> "EvidenceTable":
        """Summarise the evidence of sentences, {number of units: one for each moment and draw}."""
        sizes = sorted(found)

        def mean(name: str) -> list[float]:
            return [round(float(np.mean([getattr(one, name) for one in found[size]])), 5) for size in sizes]

        return cls(
            sizes=sizes,
            better=mean("better"),
            best=mean("best"),
            luck=round(float(np.mean([one.least for row in found.values() for one in row])), 5),
            gain=mean("gain"),
            usual=mean("usual"),
            moments=moments,
            frames=frames,
        )

    def in_words(self) -> str:
        """Say how many sentences were more than chance, by number of units; where none can be, how often the frame shown fits best."""
        few = self.luck > ALPHA
        shares = [
            f"{share:.0%} with {size} unit{'s' if size != 1 else ''}"
            for size, share in zip(self.sizes, self.best if few else self.better, strict=True)
        ]
        what, luck = ("the frame shown fits best", self.luck) if few else ("more than chance", ALPHA)
        return f"Of {self.moments} held-out moments, {what}: {', '.join(shares)} (by luck {luck:.0%})."
