"""BG/NBD: how often customers will buy who may leave without a word.

While active, customers buy at rate lambda ~ Gamma(r, alpha); after each repeat purchase they leave for good with
probability p ~ Beta(a, b). What can be asked of it stands in `beta_geometric`.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model. Marketing Science 24(2), 275-284.
"""

from crm_spark.kernels import beta_geometric

NAMES = beta_geometric.NAMES
COVARIED = beta_geometric.COVARIED

_model = beta_geometric.Model(leaves_at_first=False)
fit = _model.fit
likelihood = _model.likelihood
log_likelihood = _model.log_likelihood
derivatives = _model.derivatives
probability_alive = _model.probability_alive
expected_purchases = _model.expected_purchases
expected_if_alive = _model.expected_if_alive
expected_by = _model.expected_by
purchase_shares = _model.purchase_shares
draw = _model.draw
