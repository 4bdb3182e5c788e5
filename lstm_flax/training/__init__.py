"""Objectives, the step, the loop, evaluation, checkpoints."""
