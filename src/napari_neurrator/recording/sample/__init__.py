"""The sample session: a rendered film shown to simulated units, written in Allen's layout. Plainly simulated."""

from .session import STIMULUS, SampleSpec, make_sample, open_sample, sample_file

__all__ = ["STIMULUS", "SampleSpec", "make_sample", "open_sample", "sample_file"]
