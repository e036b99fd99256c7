"""From runs to statements: intervals, metrics, claims, figures, studies and their records."""
