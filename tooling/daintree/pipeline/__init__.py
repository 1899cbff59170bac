"""Running a pipeline: plan it, compute what is missing, record it, publish it."""
