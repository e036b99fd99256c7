"""A classifier or a language model behind a server: limits, metrics, a page to try it, a clean stop."""
