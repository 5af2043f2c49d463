"""From a list of experiments to tables: what will run, each run's steps, how far each is."""
