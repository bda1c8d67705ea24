"""The Jobwright service: the folders are the stages of a job, in the order in which it lives."""
