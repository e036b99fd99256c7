"""Data sets and pretrained weights: packages fetched by hash, opened, split."""
