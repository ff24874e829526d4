"""Trees of MLlib, read from their text: a row goes where plain conditions send it."""

import numpy as np
import pytest

from crm_spark.kernels import c45, cart, trees

TEXT = """DecisionTreeClassificationModel: uid=dtc, depth=2, numNodes=5, numClasses=3, numFeatures=2
  If (feature 1 in {0.0,2.0})
   If (feature 0 <= -1.5E-4)
    Predict: 2.0
   Else (feature 0 > -1.5E-4)
    Predict: 0.0
  Else (feature 1 not in {0.0,2.0})
   Predict: 1.0

"""


def test_rows_are_counted_where_its_conditions_send_them() -> None:
    rows = np.array([[-1.0, 0], [1.0, 2], [-1.0, 1], [1.0, 3], [0.0, 2], [-2e-4, 0]])
    of_class = np.array([2, 0, 1, 1, 0, 2])
    bare = cart.read(TEXT, [0, 4], 3)
    counts = c45.Rows(rows, of_class, np.array([0, 4]), 3)
    (root,) = c45.recounted(counts, bare, [((), bare)])
    told = [(path, node.of_class.tolist()) for path, node in trees.walk(root)]
    assert told == [((), [2, 2, 2]), ((0,), [2, 0, 2]), ((0, 0), [0, 0, 2]), ((0, 1), [2, 0, 0]), ((1,), [0, 2, 0])]
    assert trees.decide(trees.probabilities(root, rows)).tolist() == of_class.tolist()
    # Of no known level: in both branches, by their share.
    (lost,) = trees.probabilities(root, np.array([[1.0, 4.0]]))
    assert lost.tolist() == pytest.approx([4 / 6, 2 / 6, 0])
    again = trees.read(trees.write(root))
    assert trees.probabilities(again, rows).tolist() == trees.probabilities(root, rows).tolist()


def test_another_text_is_refused() -> None:
    for text in ("", "a\n  b", TEXT.replace("Predict: 1.0", "Predict")):
        with pytest.raises(ValueError, match="the text tells no tree"):
            cart.read(text, [0, 4], 3)
