"""The book's code against what a reader would otherwise use, each comparison measured in one run."""
