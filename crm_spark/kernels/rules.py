"""What rules "who has A has C too" are worth, from four counts each: baskets n, those with A, with C, with both.

References
----------
Agrawal, R., Imieliński, T., Swami, A. (1993). Mining Association Rules between Sets of Items in Large Databases.
SIGMOD, 207-216: support, confidence.
Brin, S., Motwani, R., Ullman, J. D., Tsur, S. (1997). Dynamic Itemset Counting and Implication Rules. SIGMOD,
255-264: lift, conviction.
Piatetsky-Shapiro, G. (1991). Discovery, Analysis, and Presentation of Strong Rules: leverage.
Zhang, T. (2000). Association Rules. PAKDD, 245-256: Zhang's measure.
Tan, P.-N., Kumar, V., Srivastava, J. (2004). Selecting the Right Objective Measure for Association Analysis.
Information Systems 29(4), 293-313: Jaccard, Kulczynski, certainty, cosine, and what they are good for.
Hahsler, M., Hornik, K. (2007). New Probabilistic Interest Measures for Association Rules. Intelligent Data Analysis
11(5), 437-455: Fisher's exact test of a rule.
Fay, M. P. (2010). Confidence Intervals That Match Fisher's Exact or Blaker's Exact Tests. Biostatistics 11(2), 373-374:
the central test of both sides.
Bayardo, R. J., Agrawal, R., Gunopulos, D. (2000). Constraint-Based Rule Mining in Large, Dense Databases. Data Mining
and Knowledge Discovery 4, 217-240: improvement.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from crm_spark.kernels.itemsets import Ints
from crm_spark.kernels.likelihood import Floats

NAMES = (
    "support",
    "confidence",
    "lift",
    "leverage",
    "conviction",
    "zhang",
    "jaccard",
    "kulczynski",
    "certainty",
    "cosine",
    "information_gain",
    "p_value",
)
TOLERANCE = 1e-17  # of a sum: terms below it change nothing


def measures(n: Ints, a: Ints, c: Ints, both: Ints) -> dict[str, Floats]:
    """Give what each rule is worth.

    Parameters
    ----------
    n, a, c, both : (m,) arrays of int
        Baskets in all, with the antecedent, with the consequent, with both. None is 0.

    Returns
    -------
    dict of (m,) arrays
        By NAMES. Conviction is infinite at confidence 1; Zhang's measure and certainty are 0 where nothing tells
        them; the information gain is in bits.
    """
    n_, a_, c_, both_ = (of.astype(np.float64) for of in (n, a, c, both))
    confidence, share = both_ / a_, c_ / n_
    leverage = (both_ * n_ - a_ * c_) / (n_ * n_)
    most = np.maximum(both_ * (n_ - a_), a_ * (c_ - both_)) / (n_ * n_)
    fails = a_ > both_
    conviction = np.full(n_.size, np.inf)
    conviction[fails] = (1 - share[fails]) / (1 - confidence[fails])
    told = (
        both_ / n_,
        confidence,
        both_ * n_ / (a_ * c_),
        leverage,
        conviction,
        _ratio(leverage, most),
        both_ / (a_ + c_ - both_),
        (confidence + both_ / c_) / 2,
        _ratio(confidence - share, 1 - share),
        both_ / np.sqrt(a_ * c_),
        _gain(n_, a_, c_, both_),
        p_values(n, a, c, both),
    )
    return dict(zip(NAMES, told, strict=True))


def p_values(n: Ints, a: Ints, c: Ints, both: Ints) -> Floats:
    """Give Fisher's exact p: how likely chance alone puts as many into both or more (one-sided).

    P(X >= both), where X is hypergeometric: of n baskets a are drawn, c have the consequent. The shorter tail is
    summed, from its greatest term on, each term from the one before.

    Returns
    -------
    (m,) array
        About the standard deviation of X times ten steps, each over the rules whose sum still grows.
    """
    n_, a_, c_, both_ = (of.astype(np.float64) for of in (n, a, c, both))
    is_upper = both_ * n_ > a_ * c_
    x = np.where(is_upper, both_, both_ - 1)
    is_possible = (x >= np.maximum(0, a_ + c_ - n_)) & (x <= np.minimum(a_, c_))
    total = np.zeros(n_.size)
    for upper in (True, False):
        of = np.flatnonzero(is_possible & (is_upper == upper))
        total[of] = _tail(n_[of], a_[of], c_[of], x[of], upper)
    return np.clip(np.where(is_upper, total, 1 - total), 0.0, 1.0)


def difference_p_values(a: Ints, both: Ints, other_a: Ints, other_both: Ints) -> Floats:
    """Give Fisher's exact p of a rule that is surer, or less sure, here than elsewhere (two-sided, central).

    Of the baskets with the antecedent, here and elsewhere, so many have the consequent; twice the smaller one-sided p
    tells how likely chance alone parts them as unevenly, whichever way.

    Parameters
    ----------
    a, both, other_a, other_both : (m,) arrays of int
        Baskets with the antecedent, and with both sides, here and elsewhere.
    """
    n, c = a + other_a, both + other_both
    smaller: Floats = np.minimum(p_values(n, a, c, both), p_values(n, a, n - c, a - both))
    return np.clip(2 * smaller, 0.0, 1.0)


def improvements(
    antecedents: Sequence[tuple[str, ...]], consequents: Sequence[tuple[str, ...]], confidence: Floats, share: Floats
) -> Floats:
    """Give by how much the confidence of each rule exceeds that of the best more general one.

    More general is a rule with the same consequent and some of the antecedent only, or none of it: then its
    confidence is the consequent's support. A rule that does not exceed it says nothing new.

    Parameters
    ----------
    antecedents, consequents : (m,) sequences of tuples
        Each in order. With a rule all that are more general are given too.
    confidence, share : (m,) arrays
        Of the rule, and of baskets with its consequent.
    """
    best: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {}
    given = np.empty(len(antecedents))
    for at in sorted(range(len(antecedents)), key=lambda at: len(antecedents[at])):
        whole, consequent = antecedents[at], consequents[at]
        shorter = [best.get(((*whole[:gone], *whole[gone + 1 :]), consequent), 0.0) for gone in range(len(whole))]
        general = max([float(share[at]), *shorter])
        given[at] = confidence[at] - general
        best[whole, consequent] = max(general, float(confidence[at]))
    return given


def _ratio(above: Floats, below: Floats) -> Floats:
    """One by the other, 0 where that is nothing."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _gain(n: Floats, a: Floats, c: Floats, both: Floats) -> Floats:
    """H(C) - H(C | whether A), the mutual information of the two, in bits."""
    gain = np.zeros(n.size)
    for cell, row, column in (
        (both, a, c),
        (a - both, a, n - c),
        (c - both, n - a, c),
        (n - a - c + both, n - a, n - c),
    ):
        some = cell > 0
        gain[some] += cell[some] / n[some] * np.log2(cell[some] * n[some] / (row[some] * column[some]))
    return np.maximum(gain, 0.0)


def _tail(n: Floats, a: Floats, c: Floats, x: Floats, is_upper: bool) -> Floats:
    """The probability of x and of all beyond it, upwards or downwards."""
    term = np.exp(_log_choose(c, x) + _log_choose(n - c, a - x) - _log_choose(n, a))
    total = term.copy()
    open_ = np.flatnonzero(term > 0)
    x = x.copy()
    while open_.size:
        k, m, of, have = x[open_], n[open_], a[open_], c[open_]
        if is_upper:
            term[open_] *= (of - k) * (have - k) / ((k + 1) * (m - of - have + k + 1))
            x[open_] += 1
        else:
            term[open_] *= k * (m - of - have + k) / ((of - k + 1) * (have - k + 1))
            x[open_] -= 1
        total[open_] += term[open_]
        open_ = open_[term[open_] > TOLERANCE * total[open_]]
    return total


def _log_choose(n: Floats, k: Floats) -> Floats:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))
