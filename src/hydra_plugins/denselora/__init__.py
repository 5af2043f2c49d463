"""Launchers of reproduce.py for clusters. Hydra looks for its plugins in packages of this place."""
