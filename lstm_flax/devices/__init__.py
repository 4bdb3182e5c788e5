"""Placing arrays, compiling programs and keeping them, managing memory."""
