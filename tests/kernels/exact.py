"""Arithmetic at 40 digits, from the standard library: products of Polya's urn need no gamma functions."""

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import Any

DIGITS = Context(prec=40, Emax=999_999_999, Emin=-999_999_999)


def exactly(function: Any) -> Any:
    """Compute at 40 digits."""

    def computed(*given: Any) -> Any:
        with localcontext(DIGITS):
            return function(*given)

    return computed


def decimals(numbers: Iterable[float]) -> list[Decimal]:
    return [Decimal(float(number)) for number in numbers]


def rising(at: Decimal, steps: int) -> Decimal:
    """At (at + 1) ... (at + steps - 1): gamma(at + steps) / gamma(at)."""
    product = Decimal(1)
    for step in range(steps):
        product *= at + step
    return product
