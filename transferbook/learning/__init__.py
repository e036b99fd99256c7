"""Training and transfer: fitting, probing, freezing, adapting, scoring."""
