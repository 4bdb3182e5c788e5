"""Training: the step, its loss and optimizer, the loop, and the folder of a run."""
