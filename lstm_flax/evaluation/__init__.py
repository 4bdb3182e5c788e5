"""Metrics of trained models on whole splits."""
