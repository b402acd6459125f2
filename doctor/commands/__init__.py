"""The doctor's commands, one file each."""
