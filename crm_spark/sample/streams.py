"""Randomness of a shop: one stream a feed and chunk, so that no draws of one ever move another's."""

from zlib import crc32

import numpy as np


def stream(seed: int, feed: str, part: int | None = None) -> np.random.Generator:
    """Open a stream: the same seed, feed and part give the same draws, on any machine.

    Parameters
    ----------
    part : int, optional
        A chunk of customers or a day, of feeds that are drawn in parts.
    """
    names = (key(feed),) if part is None else (key(feed), part)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=names)))


def key(feed: str) -> int:
    """Give the spawn key of a feed; it follows from the name, so that new feeds leave old ones alone."""
    return crc32(feed.encode())
