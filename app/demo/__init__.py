"""`jobwright demo`: starts a service, runs one job of each template on sample data, and prints a table of the outcomes.

The demo uses the service only as a program: its command line and its REST interface.
"""
