"""Where a unit sits, from its template and its channels' places."""

import numpy as np

# A spike is seen about so far from its neuron.
_RADIUS_UM = 100.0


def centres_of_mass(templates: np.ndarray, channels: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """Return the centre of mass of each template's amplitudes around its peak channel, µm.

    Parameters
    ----------
    templates : numpy.ndarray
        (template, time, channel); may be memory-mapped.
    channels : numpy.ndarray
        Places of all channels, µm, (channel, 2).
    columns : numpy.ndarray, optional
        Which channels each template's last axis means, (template, channel), others than these are none; all of them in order by default.

    Returns
    -------
    numpy.ndarray
        (template, 2); NaN for a template that is flat, or whose largest channel has no place.
    """
    centres = np.full((len(templates), 2), np.nan)
    for number in range(len(templates)):
        amplitude = np.nan_to_num(np.ptp(np.asarray(templates[number], dtype=np.float64), axis=0))
        where = np.arange(len(channels)) if columns is None else columns[number]
        valid = (where >= 0) & (where < len(channels))
        amplitude = np.where(valid, amplitude, 0)
        top = amplitude.max(initial=0)
        if top > 0 and np.isfinite(top):
            # Weak or far channels (noise, other shanks) would pull the centre towards the middle of the probe.
            away = np.linalg.norm(channels[np.where(valid, where, 0)] - channels[where[amplitude.argmax()]], axis=1)
            near = (amplitude >= 0.2 * top) & (away <= _RADIUS_UM)
            # Nothing is near a channel of which the place is not known.
            if near.any():
                centres[number] = np.average(channels[where[near]], axis=0, weights=(amplitude[near] / top) ** 2)
    return centres


def nearest(places: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Return the channel nearest to each place, (unit, 2) and (channel, 2); −1 where the place is not known."""
    known = np.isfinite(places).all(axis=1)
    result = np.full(len(places), -1)
    if len(channels) and known.any():
        distance = ((places[known][:, None, :] - channels[None]) ** 2).sum(axis=2)
        result[known] = np.argmin(np.nan_to_num(distance, nan=np.inf), axis=1)
    return result
