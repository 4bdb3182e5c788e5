"""One run: its loop, its checkpoints, its folder, its log, and its end by a signal.

loop          takes the remaining steps: start here
saving        saves `last` and `best`, and restores the run from them
workdir       access to the folder and its other files
progress      the log and the progress bar
tensorboard   events for TensorBoard
interruption  stops after a signal, with the state saved
"""
