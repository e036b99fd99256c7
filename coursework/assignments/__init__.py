"""The assignments: a folder each, with `source.ipynb`, `questions.py` and planted answers."""
