"""HTML pages with explanations and run reports; each is one file that loads nothing else."""
