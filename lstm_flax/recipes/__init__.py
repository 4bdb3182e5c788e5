"""Training recipes beside the core."""
