"""The knee of a curve: where going on begins to bring little.

Of the points of a curve that bends one way it is the one that lies furthest from the straight line between both ends,
both axes brought to one scale.

References
----------
Satopää, V. et al. (2011). Finding a "Kneedle" in a Haystack. ICDCS Workshops.
"""

import numpy as np

from crm_spark.kernels.likelihood import Floats


def knee(x: Floats, y: Floats) -> int:
    """Give the place of the knee, of equally far points the first.

    Parameters
    ----------
    x : (n,) array
        Rising; one or more.
    y : (n,) array
        Where it is a straight line the knee is the first point.
    """
    width, height = float(x[-1] - x[0]), float(y[-1] - y[0])
    # Distances to one line are in the ratio of their parts along an axis.
    apart = np.abs((y - y[0]) * width - (x - x[0]) * height)
    return int(np.where(apart > FLAT * abs(width) * np.abs(y).max(), apart, 0.0).argmax())


FLAT = 1e-12  # what is nearer to the line lies on it
