"""The local executor: runs attempts on this machine, in processes that zygotes fork."""
