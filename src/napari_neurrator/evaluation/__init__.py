"""Is a sentence more than chance: scores, nulls, statistics, reports."""

from .evidence import Evidence, EvidenceTable

__all__ = ["Evidence", "EvidenceTable"]
