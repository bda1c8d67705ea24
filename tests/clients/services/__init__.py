"""A suite that drives any service over HTTP as Jobwright does, and says where it breaks docs/reference/service-protocol.md.

A service that is to be tried has the jobs of `programs/library_service.py`, reads its settings from the environment variables that
`Program` sets, and appends a line to the file JOURNAL each time it does the work of an execution. With CONTRACT_SERVICE set to a command,
the suite tries that service, too: `CONTRACT_SERVICE="node service.js" pytest tests/clients/services`.
"""
