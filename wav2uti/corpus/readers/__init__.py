"""Readers of real recordings: one file for each corpus layout, and the search over all of them."""
