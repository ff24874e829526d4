"""A shop with planted truth: raw daily files as untidy as real ones, and what was planted beside them.

What is planted, and where its truth is: docs/guide/sample-shop.md.
"""
