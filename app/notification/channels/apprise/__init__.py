"""Messages to any of the services that Apprise knows."""
