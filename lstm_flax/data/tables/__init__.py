"""Reads tables of any kind row by row, finds their columns, and writes results as new columns."""
