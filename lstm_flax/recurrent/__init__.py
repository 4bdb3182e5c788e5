"""Recurrent layers, and what computes them."""
