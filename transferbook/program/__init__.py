"""A classifier for the reader's own pictures or texts: trained, calibrated, kept in one file, reported."""
