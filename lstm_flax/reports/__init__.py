"""Pages for people: explanations and reports of runs, each one file that loads nothing."""
