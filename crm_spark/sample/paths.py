"""The ways through the site: a Markov chain of pages for each archetype, one for visitors, one that ends in an order.

A session begins on the home page and goes on by the chain's row of the page it is on, until it leaves. The
effect `paths` mixes an archetype's own chain with the visitors' chain: `(1 - s) * visitors + s * own`, s at most 1.
"""

import numpy as np

from crm_spark.sample.process import Floats, Ints
from crm_spark.sample.setting import Setting

PAGES = ["home", "search", "category", "view", "cart", "checkout"]
HOME, SEARCH, CATEGORY, VIEW, CART, CHECKOUT = range(6)
LEAVE = len(PAGES)
MOST = 40  # pages of one session; whoever is still there leaves

VISITORS = [  # from each page to: home, search, category, view, cart, checkout, leave
    [0.00, 0.20, 0.25, 0.20, 0.00, 0.00, 0.35],
    [0.05, 0.20, 0.10, 0.40, 0.00, 0.00, 0.25],
    [0.05, 0.05, 0.20, 0.45, 0.00, 0.00, 0.25],
    [0.05, 0.10, 0.15, 0.30, 0.10, 0.00, 0.30],
    [0.05, 0.05, 0.10, 0.25, 0.05, 0.00, 0.50],
]
OWN = [
    [
        [0.00, 0.35, 0.15, 0.20, 0.00, 0.00, 0.30],
        [0.02, 0.15, 0.05, 0.60, 0.00, 0.00, 0.18],
        [0.05, 0.15, 0.15, 0.45, 0.00, 0.00, 0.20],
        [0.05, 0.15, 0.10, 0.25, 0.20, 0.00, 0.25],
        [0.05, 0.05, 0.05, 0.25, 0.05, 0.00, 0.55],
    ],
    [
        [0.00, 0.10, 0.40, 0.10, 0.00, 0.00, 0.40],
        [0.05, 0.15, 0.20, 0.30, 0.00, 0.00, 0.30],
        [0.05, 0.05, 0.35, 0.35, 0.00, 0.00, 0.20],
        [0.05, 0.05, 0.30, 0.25, 0.05, 0.00, 0.30],
        [0.05, 0.05, 0.20, 0.20, 0.05, 0.00, 0.45],
    ],
    [
        [0.00, 0.15, 0.20, 0.45, 0.00, 0.00, 0.20],
        [0.05, 0.25, 0.05, 0.50, 0.00, 0.00, 0.15],
        [0.05, 0.05, 0.25, 0.50, 0.00, 0.00, 0.15],
        [0.02, 0.08, 0.10, 0.45, 0.20, 0.00, 0.15],
        [0.05, 0.05, 0.10, 0.40, 0.10, 0.00, 0.30],
    ],
    [
        [0.00, 0.05, 0.25, 0.45, 0.00, 0.00, 0.25],
        [0.05, 0.10, 0.10, 0.50, 0.00, 0.00, 0.25],
        [0.05, 0.02, 0.18, 0.55, 0.00, 0.00, 0.20],
        [0.05, 0.02, 0.13, 0.55, 0.05, 0.00, 0.20],
        [0.05, 0.05, 0.10, 0.30, 0.05, 0.00, 0.45],
    ],
]
BUYING = [
    [0.00, 0.30, 0.25, 0.45, 0.00, 0.00, 0.00],
    [0.00, 0.15, 0.10, 0.75, 0.00, 0.00, 0.00],
    [0.00, 0.05, 0.15, 0.80, 0.00, 0.00, 0.00],
    [0.00, 0.05, 0.05, 0.30, 0.60, 0.00, 0.00],
    [0.00, 0.00, 0.05, 0.20, 0.05, 0.70, 0.00],
]
END = [[0.0] * LEAVE + [1.0]]


def planted(setting: Setting) -> Floats:
    """Give the chains of a shop: one for each archetype, the visitors', the buyers' last.

    Returns
    -------
    array (archetypes + 2, page, next page)
        The last next page is to leave.
    """
    strength = min(setting.effect("paths"), 1.0)
    visitors = np.array(VISITORS)
    own = [(1 - strength) * visitors + strength * np.array(chain) for chain in OWN[: setting.archetypes]]
    return np.array([[*chain, *END] for chain in [*own, visitors, np.array(BUYING)]])


def walk(draws: np.random.Generator, chains: Floats, chain: Ints) -> tuple[Ints, Ints]:
    """Let each session take its way.

    Parameters
    ----------
    chain : array, one element a session
        The chain it follows.

    Returns
    -------
    session, page : arrays, one element an event
        By session, then in order.
    """
    upto = np.cumsum(chains, axis=2)
    session, page = np.arange(len(chain)), np.full(len(chain), HOME)
    steps: list[tuple[Ints, Ints]] = []
    while len(session) and len(steps) < MOST:
        steps.append((session, page))
        drawn = draws.random(len(session))
        page = (drawn[:, None] >= upto[chain[session], page]).sum(axis=1)
        session, page = session[page < LEAVE], page[page < LEAVE]
    sessions = np.concatenate([step[0] for step in steps])
    order = np.argsort(sessions, kind="stable")
    return sessions[order], np.concatenate([step[1] for step in steps])[order]
