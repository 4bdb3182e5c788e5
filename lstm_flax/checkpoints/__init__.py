"""Checkpoints: writing and reading them, and the model that comes with the package.

folder       saves and restores: start here; its arrays: `to_trees` in training/train_state.py
finding      the checkpoints that a path means
metadata     everything but the arrays: configuration, labels, position, history
restore      a model with its weights, from a checkpoint
pretrained   the packaged model
plain_files  the encoder's files
format_1     checkpoints of the earlier format
disk_space   errors for a full disk
manifest     the checksum of every file
arrays       reports arrays that do not fit, field by field
sizes        checks the memory that a checkpoint needs before allocating it
packed       a whole model as bytes
long_runs    stops TensorStore's memory and threads from growing
"""
