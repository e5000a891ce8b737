"""Formats of the files that corpora are made of, one file each; readers put them together."""
