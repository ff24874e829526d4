"""Randomness of a shop: one stream a feed, so that one feed's draws never move another's."""

from zlib import crc32

import numpy as np


def stream(seed: int, feed: str) -> np.random.Generator:
    """Open the stream of a feed: the same seed and name give the same draws, on any machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(key(feed),))))


def key(feed: str) -> int:
    """Give the spawn key of a feed; it follows from the name, so that new feeds leave old ones alone."""
    return crc32(feed.encode())
