"""Where labelled texts come from, a file each."""
