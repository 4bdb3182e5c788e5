"""Lines and tables that `lstm-flax predict` reads and writes."""
