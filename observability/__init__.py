"""Observability as code: the collector's configuration and the dashboards with their alerts."""
