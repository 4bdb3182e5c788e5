"""Placing arrays, compiling programs, managing memory."""
