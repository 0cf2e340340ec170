"""A report of one run, or of many: one HTML file that needs no network, and the same as JSON."""
