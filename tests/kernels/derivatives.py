"""Hold exact derivatives against differences of what they are the derivatives of."""

from collections.abc import Callable

import numpy as np
import pytest

from crm_spark.kernels.likelihood import Derivatives, Floats


def assert_belong_together(derive: Callable[[Floats], Derivatives], at: Floats) -> None:
    """The gradient is that of the value, the Hessian that of the gradient."""
    _, gradient, hessian = derive(at)
    step = 1e-5
    for i, direction in enumerate(np.eye(at.size)):
        (up, by_up, _), (down, by_down, _) = (derive(at + sign * step * direction) for sign in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-4)
        assert hessian[i] == pytest.approx((by_up - by_down) / (2 * step), rel=1e-4, abs=1e-4)
