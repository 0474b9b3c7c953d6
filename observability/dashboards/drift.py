"""The *Drift* dashboard: whether what people ask changes. The analysis job writes a point of each metric
for each window."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from observability.dashboards.parts import cloudwatch_lines, dashboard, row

METRICS = "FMOps/Analysis,Environment"
HOUR = 3600


def build() -> Dashboard:
    board = dashboard(
        "fmops-drift", "FMOps / Drift", "Does what people ask change, and do documents cover it?"
    )
    board.time("now-30d", "now")
    for heading, panels in (
        (
            "What people ask",
            (
                ("Alarm, and windows that cannot be compared", ["Drift", "Incomparable"], "Maximum", "short"),
                ("Queries far from every topic", ["NovelShare"], "Average", "percentunit"),
                ("Queries far from every document", ["CoverageGapShare"], "Average", "percentunit"),
                ("Evidence gathered over windows", ["DriftEvidence"], "Average", "short"),
                (
                    "Evidence that a share rises",
                    ["NovelTrendEvidence", "CoverageTrendEvidence"],
                    "Average",
                    "short",
                ),
                ("New topics", ["NewTopics"], "Maximum", "short"),
                (
                    "Change of the topics' shares (total variation)",
                    ["TopicTotalVariation"],
                    "Average",
                    "percentunit",
                ),
            ),
        ),
        (
            "Data",
            (
                ("Queries analysed", ["Rows"], "Sum", "short"),
                ("Objects that could not be read", ["CorruptObjects"], "Sum", "short"),
                ("Vectors that another query had too", ["DuplicateShare"], "Average", "percentunit"),
            ),
        ),
    ):
        board.with_row(row(heading))
        for title, metrics, statistic, unit in panels:
            board.with_panel(
                cloudwatch_lines(title, METRICS, metrics, statistic=statistic, unit=unit, period=HOUR)
            )
    return board
