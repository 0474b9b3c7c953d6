"""AWS X-Ray: segments, and spans of OpenTelemetry."""
