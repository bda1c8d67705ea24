"""Services that register jobs and are called back, and the bus: how other programs and Jobwright work together."""
