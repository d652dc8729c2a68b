"""What a dictionary is, in words."""

from ..profiles import Profile
from .dictionary import Dictionary


def account(dictionary: Dictionary, profile: Profile | None = None) -> str:
    """Describe a dictionary: family, size, activation, what it was trained on, how far its features are named, and what is uncertain."""
    described, sae, how = dictionary.described, dictionary.sae, dictionary.sae.activation
    space = described.space
    kept = {
        "topk": f"the {how.k} largest of a patch" + ("" if how.relu else ", whatever their sign"),
        "batch_topk": f"the {how.k} × patches largest of a frame",
        "threshold": "those above a threshold of their own" if how.threshold is not None else "those above 0",
        "gated": "those whose gate is open",
    }[how.kind]
    trained = [
        space.model or "the file does not say on which model",
        "no layer told" if space.block is None else f"{space.where} block {space.block}",
    ]
    names = dictionary.given_names
    lines = [
        f"dictionary  {dictionary.source}",
        f"family      {described.family}, {described.architecture}",
        f"size        {sae.n_features} features of {sae.width} numbers ({(sae.encoder.nbytes + sae.decoder.nbytes) / 1e6:.0f} MB in memory)",
        f"active      {kept}",
        f"normalised  {sae.normaliser.kind}{', less the mean of its training data' if sae.normaliser.centre is not None else ''}",
        f"trained on  {', '.join(trained)}",
    ]
    if described.group_sizes:
        lines.append(f"groups      {', '.join(map(str, described.group_sizes))} (nested)")
    named = [entry for entry in names.entries if entry["name"]] if names else []
    lines.append(
        f"names       {len(named)} features named, with {len({entry['name'] for entry in named})} names"
        if names
        else "names       none: 'neurrator concepts name' gives them"
    )
    labels = dictionary.labels
    if labels.texts:
        lines.append(f"labels      {len(labels.texts)}, in {labels.file}")
    if profile is not None:
        lines.append(f"fits        the profile {profile.name!r}, as far as can be checked")
    lines += [f"note        {note}" for note in dictionary.warnings]
    lines.append(f"hash        {dictionary.content_hash}")
    return "\n".join(lines)
