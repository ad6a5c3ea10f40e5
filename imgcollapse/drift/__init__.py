"""What chance alone does to the classes."""
