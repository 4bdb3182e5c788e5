"""Tables of any kind, read row by row; their columns found; answers written beside them."""
