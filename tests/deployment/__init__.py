"""The files that deploy Jobwright: images, Docker Compose, Kubernetes, systemd, proxies, the workflows of CI."""
