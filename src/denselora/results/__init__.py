"""Records of runs, and the tables, figures and report made from them."""
