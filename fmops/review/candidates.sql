-- The interactions of a day, each with its stratum and its place in the draw. DuckDB.
CREATE OR REPLACE TEMP TABLE candidates AS
WITH judged AS (
  SELECT
    interaction_id,
    max(score) - min(score) AS spread,
    max(score) AS best,
    min_by(score, abs(score - $judge_threshold)) AS nearest
  FROM judges
  GROUP BY interaction_id
),
drifted AS (
  SELECT interaction_id, any_value(concat_ws(': ', kind, nullif(detail, ''))) AS reason
  FROM signals
  GROUP BY interaction_id
),
-- As fmops/capture/dataset.sql, on few columns: the objects are read once.
rated AS (
  SELECT interaction_id, "user", max_by(rating, started_at) AS rating
  FROM read_once
  WHERE record_type = 'feedback'
  GROUP BY interaction_id, "user"
),
population AS (
  SELECT captured.interaction_id, rated.rating, captured.guardrails
  FROM (
    SELECT DISTINCT ON (interaction_id) interaction_id, "user", guardrails
    FROM read_once
    WHERE record_type = 'interaction' AND starts_with(started_at, $day) AND answered
  ) AS captured
  LEFT JOIN rated USING (interaction_id, "user")
),
found AS (
  -- Records of before there were scores have findings alone, which reach the threshold.
  SELECT interaction_id, outcome.direction AS direction,
    unnest(list_concat(coalesce(outcome.scores, []), outcome.findings)) AS finding
  FROM (SELECT interaction_id, unnest(guardrails) AS outcome FROM population)
),
near AS (
  SELECT
    interaction_id,
    min_by(
      format('{} {} {:.2f}, threshold {:.2f}', found.direction, finding.category, finding.score, threshold),
      abs(finding.score - threshold)
    ) AS reason
  FROM found
  JOIN thresholds ON thresholds.direction = found.direction
    AND thresholds.category = finding.category AND thresholds.detector = finding.detector
  -- Scores are decimal: a difference of 0.25 must not be lost to the last binary digit.
  WHERE abs(finding.score - threshold) <= $guardrail_margin + 1e-9
  GROUP BY interaction_id
)
SELECT
  population.interaction_id,
  CASE
    WHEN rating = 'down' THEN 'low_feedback'
    WHEN spread >= $judge_spread - 1e-9 THEN 'judge_disagreement'
    WHEN near.reason IS NOT NULL THEN 'guardrail_near'
    WHEN abs(nearest - $judge_threshold) <= $judge_margin + 1e-9 THEN 'judge_near'
    WHEN best < $judge_threshold THEN 'judge_bad'
    WHEN drifted.reason IS NOT NULL THEN 'drift'
    ELSE 'random'
  END AS stratum,
  CASE stratum
    WHEN 'low_feedback' THEN 'rated not helpful'
    WHEN 'judge_disagreement' THEN format('judges differ by {:.2f}', spread)
    WHEN 'guardrail_near' THEN near.reason
    WHEN 'judge_near' THEN format('judge says {:.2f}', nearest)
    WHEN 'judge_bad' THEN format('no judge says more than {:.2f}', best)
    WHEN 'drift' THEN drifted.reason
    ELSE 'chosen at random'
  END AS reason,
  -- A keyed hash orders interactions at random, in the same way whenever the day is drawn.
  md5($day || interaction_id) AS draw
FROM population
LEFT JOIN judged USING (interaction_id)
LEFT JOIN near USING (interaction_id)
LEFT JOIN drifted USING (interaction_id)
