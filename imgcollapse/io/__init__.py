"""Reading and writing files: atomic writes, checksums, schemas, checkpoints, the lock."""
