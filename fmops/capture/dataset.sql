-- One row for each interaction, however often it was delivered, with the last rating that its own user gave it.
-- Athena runs this as the view `dataset`, DuckDB in fmops/capture/lake.py: it is valid SQL for both.
-- What is no record has no version, and a later version's records are for later code: neither is read.
WITH readable AS (
  SELECT *
  FROM interactions
  WHERE interaction_id IS NOT NULL AND schema_version <= 1
),
captured AS (
  SELECT *, row_number() OVER (PARTITION BY interaction_id ORDER BY started_at, dt, hour) AS delivery
  FROM readable
  WHERE record_type = 'interaction'
),
rated AS (
  SELECT
    interaction_id,
    "user",
    max_by(rating, started_at) AS rating,
    max_by(comment, started_at) AS comment,
    max(started_at) AS rated_at
  FROM readable
  WHERE record_type = 'feedback'
  GROUP BY interaction_id, "user"
)
SELECT
  captured.schema_version,
  captured.interaction_id,
  captured.trace_id,
  captured.session_id,
  captured."user",
  captured.service,
  captured.environment,
  captured.started_at,
  captured.duration_ms,
  captured.model_id,
  captured.prompt_name,
  captured.prompt_version,
  captured.input,
  captured.output,
  captured.finish_reason,
  captured.error_type,
  captured.streamed,
  captured.truncated,
  captured.usage,
  captured.retrieved,
  captured.embedding,
  captured.embedding_error,
  captured.guardrails,
  captured."authorization",
  captured.tool_calls,
  rated.rating,
  rated.comment,
  rated.rated_at,
  captured.dt,
  captured.hour
FROM captured
LEFT JOIN rated ON rated.interaction_id = captured.interaction_id AND rated."user" = captured."user"
WHERE captured.delivery = 1
