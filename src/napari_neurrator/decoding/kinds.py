"""The decoders that ``--decoder`` can name."""

from typing import TYPE_CHECKING, get_args

from ..config import DecoderKind
from ..errors import NeurratorError

if TYPE_CHECKING:
    from .interface import SubsetDecoder


def decoder_class(kind: str) -> "type[SubsetDecoder]":
    """Return the class of a kind of decoder; imported when asked for, for some of them take seconds to import.

    Raises
    ------
    NeurratorError
        There is no such kind.
    """
    if kind == "subset":
        from .subset import SubsetBayes

        return SubsetBayes
    if kind not in get_args(DecoderKind):
        raise NeurratorError(f"There is no decoder {kind!r}: choose one of {', '.join(get_args(DecoderKind))}.")
    from .baselines import baseline_class

    return baseline_class(kind)
