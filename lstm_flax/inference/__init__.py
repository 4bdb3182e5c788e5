"""Using trained models: labels for texts, and new text."""
