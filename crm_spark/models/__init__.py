"""Supervised learning: what goes along with a choice."""
