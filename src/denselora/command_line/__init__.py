"""From what a user types to a checked config: composed by Hydra, each option of a declared kind."""
