"""Running a study: set-up, the loop over generations, measuring, the null model."""
