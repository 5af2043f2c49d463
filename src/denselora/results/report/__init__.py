"""One HTML page with all that the records hold: tables, charts, runs and their predictions."""
