"""Quantiles of what will really come, as columns: by chance and by how well parameters are known."""

from crm_spark.core.contracts import Field

SHARES = ("p05", "p25", "p75", "p95")  # so that 50 % lie between the inner two, 90 % between the outer two


def banded(name: str, type_: str, meaning: str, unit: str | None = None) -> list[Field]:
    """Give the columns of the quantiles of one number."""
    return [
        Field(
            f"{name}_{share}", type_, f"{meaning}: with {int(share[1:])} % it is this or less", unit=unit, nullable=True
        )
        for share in SHARES
    ]
