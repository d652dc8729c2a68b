"""What an evaluation comes to, in a few sentences that claim no more than was tested."""

from .claims import beaten, units, untold
from .evidence import ALPHA
from .html import bounds_text, number, percent
from .report import Report

# True of films and of pictures that are shown one by one.
_UNSEEN = "none of these frames was seen in fitting, nor any that looks the same"
SPLIT_MEANS = {
    "held-out-repeats": "the frames were seen in fitting and these showings were not, so this tells how well known pictures are told apart, not how unseen ones would be narrated",
    "contiguous-middle": f"{_UNSEEN}; others, numbered before and after them, were",
    "front-only": f"{_UNSEEN}; others, numbered after them, were",
    "held-out-images": f"{_UNSEEN}; of pictures shown one by one whole pictures were held out, and of a film stretches, before and after which it was seen",
    "another-movie": "nothing of this stimulus was seen in fitting; whether it shares pictures with the one that was is not checked",
}
NULLS = {"circular_shift": "circular shifts", "shuffled": "shuffled frames"}
_SENTENCES = {"label_accuracy": "the sentences", "sbert": "the sentences (SBERT)"}


def verdict(report: Report) -> tuple[list[str], bool]:
    """Return the sentences that head a report, and whether all units together say more than chance.

    The scores are named in advance: two-way identification for what is decoded, and for what is said the classes of the stimulus, or SBERT where it has none.
    """
    whole = report.sizes[-1]
    said = "label_accuracy" if report.label_name != "same sentence" or "sbert" not in whole.by_draw else "sbert"
    two_way = getattr(whole, "two_way")  # noqa: B009 – scores are extra fields
    first = (
        f"From {units([whole.size])}, what is decoded is nearer to the picture shown than to another one in {percent(two_way)} of pairs "
        f"({_interval(report, 'two_way')}chance 50 %). "
    )
    value = getattr(whole, said)
    if said == "label_accuracy":
        first += (
            f"The sentence is right in {percent(value)} of {report.n_narrated:,} narrated moments ({_interval(report, said)}"
            f"chance {percent(report.chance[said])}, ceiling {percent(report.ceiling[said])}): {report.label}."
        )
    else:
        first += (
            f"Sentences come as near to their references as {value:.3f} (SBERT cosine; {_interval(report, said, share=False)}"
            f"what is said of the mean grid {report.prior[said]:.3f}, of the true picture {report.ceiling[said]:.3f})."
        )
    many = f"for {len(report.sizes)} population size{'s' * (len(report.sizes) > 1)}"
    if why := untold(report.least_p):
        second = f"Whether the decoded pictures or {_SENTENCES[said]} beat {NULLS[report.main_null]} cannot be told ({why} {many})."
    else:
        second = (
            f"Against {NULLS[report.main_null]}: the decoded pictures {_claim(report, 'two_way')}; {_SENTENCES[said]} {_claim(report, said)} "
            f"(p ≤ 0.05, corrected {many}; on average over random subsets, which says nothing of a single one)."
        )
    worse = worse_than_prior(report)
    if worse:
        second += f" {worse}"
    third = SPLIT_MEANS.get(report.split, "")
    sentences = [first, second, f"{third[:1].upper()}{third[1:]}."] if third else [first, second]
    if report.simulated:
        sentences.append("The session was simulated by a program: nothing here says anything about a brain.")
    p_values = [whole.p_holm.get(name) for name in ("two_way", said)]
    return sentences, any(p is not None and p <= ALPHA for p in p_values)


def worse_than_prior(report: Report) -> str:
    """Say that what all units decode is farther from the truth than the mean grid, where it is; else nothing."""
    whole = report.sizes[-1]
    bounds = whole.above_prior_ci.get("patch_cosine")
    gain = whole.above_prior["patch_cosine"]
    if gain >= 0 or (bounds and bounds[1] >= 0):
        return ""
    return (
        f"As pictures, though, what is decoded is farther from the truth than the mean grid is (patch cosine {number(gain, signed=True)} {bounds_text(bounds, signed=True)}".rstrip()
        + ")."
    )


def _claim(report: Report, name: str) -> str:
    found = beaten([result.size for result in report.sizes], [result.p_holm.get(name) for result in report.sizes])
    return f"beat them {found}" if found else "do not beat them"


def _interval(report: Report, name: str, share: bool = True) -> str:
    bounds = report.sizes[-1].ci.get(name)
    if not bounds:
        return ""
    words = f"{percent(bounds[0])} to {percent(bounds[1])}" if share else bounds_text(bounds)
    return f"95 % interval {words}; "
