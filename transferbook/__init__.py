"""Helper package of the executable book *From Machine Learning to Transfer Learning*."""

__version__ = "1.0.0"
