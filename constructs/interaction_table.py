"""The Glue table and the Athena workgroup over the interaction records."""

import json
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct, hive


class InteractionTable(Construct):
    """A table whose partitions are projected from the keys, so that nothing has to crawl or register them.

    Args:
        name: of the workgroup; of the database, with underscores, which are what SQL can write unquoted.
        schema: file with the JSON schema of a record; the columns follow it.
        bucket: the data lake.
        prefix: key prefix of the records, without a slash at its end.
        results_prefix: key prefix of query results, likewise.
    """

    TABLE_NAME = "interactions"
    FIRST_DAY = "2026-01-01"
    # Without these a line that is no JSON, or has a value of another type, makes every query over its object
    # fail. Such a line, or
    # value, is NULL.
    SERDE: Mapping[str, str] = {"ignore.malformed.json": "TRUE", "use.null.for.invalid.data": "TRUE"}

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        schema: Path,
        bucket: s3.Bucket,
        prefix: str,
        results_prefix: str,
    ) -> None:
        super().__init__(scope, id)
        self.database_name: str = name.replace("-", "_")
        self.database = self._build_database()
        self.columns: dict[str, str] = hive.columns(json.loads(schema.read_text()))
        self.table = self._build_table(self.columns, bucket.s3_url_for_object(prefix))
        self.workgroup = self._build_workgroup(name, bucket, results_prefix)

    @property
    def table_name(self) -> str:
        """Name of the table in the database."""
        return self.table.ref

    def _build_database(self) -> glue.CfnDatabase:
        return glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Stack.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=self.database_name),
        )

    def _build_table(self, columns: dict[str, str], location: str) -> glue.CfnTable:
        return glue.CfnTable(
            self,
            "Table",
            catalog_id=Stack.of(self).account,
            database_name=self.database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=self.TABLE_NAME,
                table_type="EXTERNAL_TABLE",
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name="dt", type="string"),
                    glue.CfnTable.ColumnProperty(name="hour", type="string"),
                ],
                parameters={
                    "classification": "json",
                    "compressionType": "gzip",
                    "projection.enabled": "true",
                    "projection.dt.type": "date",
                    "projection.dt.format": "yyyy-MM-dd",
                    "projection.dt.range": f"{self.FIRST_DAY},NOW",
                    "projection.hour.type": "integer",
                    "projection.hour.range": "0,23",
                    "projection.hour.digits": "2",
                    "storage.location.template": f"{location}/dt=${{dt}}/hour=${{hour}}/",
                },
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=f"{location}/",
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name, type=hive_type)
                        for name, hive_type in columns.items()
                    ],
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.openx.data.jsonserde.JsonSerDe",
                        parameters=self.SERDE,
                    ),
                ),
            ),
        )

    def _build_workgroup(self, name: str, bucket: s3.Bucket, results_prefix: str) -> athena.CfnWorkGroup:
        encryption = (
            athena.CfnWorkGroup.EncryptionConfigurationProperty(
                encryption_option="SSE_KMS", kms_key=bucket.encryption_key.key_arn
            )
            if bucket.encryption_key is not None
            else athena.CfnWorkGroup.EncryptionConfigurationProperty(encryption_option="SSE_S3")
        )
        workgroup = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=name,
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"{bucket.s3_url_for_object(results_prefix)}/",
                    encryption_configuration=encryption,
                ),
            ),
        )
        # Holds saved queries and history only: the results are in the bucket.
        workgroup.apply_removal_policy(RemovalPolicy.DESTROY)
        return workgroup
