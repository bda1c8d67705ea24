"""One module a resource; what a view may do is the services' business."""
