"""Placing arrays, compiling programs, keeping memory."""
