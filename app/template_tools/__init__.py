"""For those who write kinds of jobs: a package to begin with, and what any kind must keep."""
