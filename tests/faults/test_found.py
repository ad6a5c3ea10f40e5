"""What fuzzing found, input by input: each was a traceback, a hang or a wrong picture once."""
