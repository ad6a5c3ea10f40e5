"""Programs built on the library: evaluate, verify, review, validate, doctor, bench, export."""
