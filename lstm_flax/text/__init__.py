"""From raw text to token ids and token features."""
