"""Notifications: /api/admin/deliveries."""
