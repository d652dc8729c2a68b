"""What was recorded and what was shown: units, spike trains, presentations, stimuli; the sample session."""

from .moments import moments
from .open import open_recording
from .recording import Recording
from .spikes import SpikeTrains
from .stimulus import Stimulus, open_stimulus

__all__ = ["Recording", "SpikeTrains", "Stimulus", "moments", "open_recording", "open_stimulus"]
