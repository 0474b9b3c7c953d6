"""The Athena view over the interaction table: one row per interaction, with its feedback."""

import base64
import json
from pathlib import Path

from aws_cdk import Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from constructs import Construct, hive
from constructs.interaction_table import InteractionTable


class InteractionView(Construct):
    """A view for everybody who queries interactions, and a saved query that shows how to use it.

    Athena stores a view as a Glue table, whose text is the base64 of a JSON document with the columns
    in Presto's types.

    Args:
        table: Table that the view reads and whose columns it has.
        query: File with one SELECT from `interactions`.
    """

    VIEW_NAME = "dataset"
    OF_FEEDBACK = ("rating", "comment", "rated_at")
    PARTITIONS = ("dt", "hour")
    # Columns of the table that say nothing about a row that is one interaction.
    LEFT_OUT = ("record_type", "feedback_id", "rating", "comment")

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        table: InteractionTable,
        query: Path,
    ) -> None:
        super().__init__(scope, id)
        self.columns: dict[str, str] = {
            name: of for name, of in table.columns.items() if name not in self.LEFT_OUT
        }
        self.columns |= dict.fromkeys((*self.OF_FEEDBACK, *self.PARTITIONS), "string")
        self.view = self._build_view(table, query.read_text())
        self._build_saved_query(table)

    def _build_view(self, table: InteractionTable, query: str) -> glue.CfnTable:
        document = {
            "originalSql": query,
            "catalog": "awsdatacatalog",
            "schema": table.database_name,
            "columns": [{"name": name, "type": hive.presto(of)} for name, of in self.columns.items()],
        }
        encoded = base64.b64encode(json.dumps(document).encode()).decode()
        return glue.CfnTable(
            self,
            "View",
            catalog_id=Stack.of(self).account,
            database_name=table.database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=self.VIEW_NAME,
                description="One row per interaction, deduplicated, with its user's last rating",
                table_type="VIRTUAL_VIEW",
                parameters={"presto_view": "true", "comment": "Presto View"},
                view_original_text=f"/* Presto View: {encoded} */",
                view_expanded_text="/* Presto View */",
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name, type=of) for name, of in self.columns.items()
                    ],
                    serde_info=glue.CfnTable.SerdeInfoProperty(),
                ),
            ),
        )

    def _build_saved_query(self, table: InteractionTable) -> None:
        saved = athena.CfnNamedQuery(
            self,
            "RatedBad",
            database=table.database_name,
            name=f"{table.workgroup.name}: answers rated bad in the last seven days",
            description="Reads the view `dataset`, which deduplicates and joins the feedback",
            work_group=table.workgroup.name,
            query_string=(
                "SELECT started_at, interaction_id, input, output, comment, guardrails\n"
                f"FROM {self.VIEW_NAME}\n"
                "WHERE rating = 'down' AND started_at >= date_format(current_date - interval '7' day, '%Y-%m-%d')\n"
                # The first records of a day may lie under the day before.
                "  AND dt >= date_format(current_date - interval '8' day, '%Y-%m-%d')\n"
                "ORDER BY started_at DESC"
            ),
        )
        saved.node.add_dependency(table.workgroup, self.view)
