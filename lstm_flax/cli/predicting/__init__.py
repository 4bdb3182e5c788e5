"""What `lstm-flax predict` reads and writes: lines, tables."""
