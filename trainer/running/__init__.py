"""The folder of a run and what is written into it: documents, history, progress and its expected durations."""
