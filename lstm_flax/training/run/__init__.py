"""One run: its loop, its checkpoints, its folder, its log, and its end by a signal.

loop          takes the remaining steps: start here
saving        what is kept in `last` and `best`, and where the run continues
workdir       access to the folder and its other files
progress      the log and the progress bar
tensorboard   events for TensorBoard
interruption  stops after a signal, with the state saved
"""
