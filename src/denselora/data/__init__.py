"""Training and test rows: fetched, read, tokenised, ordered, audited."""
