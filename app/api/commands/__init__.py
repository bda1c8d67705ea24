"""Commands from the bus, answered by REST; and the AsyncAPI document, which describes the bus."""
