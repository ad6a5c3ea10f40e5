"""What is built on the laboratory: evaluate, verify, review, validate, doctor, bench, export, fault injection."""
