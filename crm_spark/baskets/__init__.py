"""What goes together: itemsets of baskets, rules from them, and what to offer whom next."""
