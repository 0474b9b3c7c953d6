"""A Bedrock knowledge base over documents in a bucket, with its vectors in S3 Vectors."""

import hashlib
import json
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_bedrock as bedrock
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3vectors as s3vectors
from constructs import Construct
from constructs.acknowledge import acknowledge_keys
from constructs.bedrock_access import grant_invoke, invoked_arn
from constructs.data_lifetime import DataLifetime

NOT_FILTERABLE = ("AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA")
"""Keys in which Bedrock writes a chunk's text and its source. If they counted as filterable, a vector would
exceed the 2,048 bytes of filterable metadata, and its document would not be indexed (Bedrock User Guide,
"Prerequisites for using a vector store you created for a knowledge base", S3 Vectors)."""
INDEX_ACTIONS = ("PutVectors", "GetVectors", "DeleteVectors", "QueryVectors", "GetIndex")


class KnowledgeBase(Construct):
    """A knowledge base of type VECTOR, a data source of the documents below a prefix, and a vector bucket with an
    index for cosine similarity. Nothing in it costs anything while it is idle.

    Documents are found after an ingestion, which `DocumentIngestion` starts when they change. A document is found
    only by the metadata of the file `<key>.metadata.json` beside it, which may have at most 1,024 bytes.

    A change of `embedding_model_id`, `dimension` or `key` replaces the knowledge base by an empty one; a change of
    `chunk_tokens` or `overlap_percent` replaces the data source. Both need another ingestion.

    Args:
        name: Beginning of the names of the knowledge base and its data source: letters, digits and single
            hyphens, at most 80.
        bucket: Bucket of the documents.
        prefix: Key prefix of the documents, without a slash at its end.
        key: KMS key of the bucket, with which the vectors are encrypted, too.
        embedding_model_id: Model that embeds the chunks and the questions.
        dimension: Numbers in an embedding, as the model makes them: 1,024 for Titan Text Embeddings V2.
        chunk_tokens: Maximum tokens of a chunk.
        overlap_percent: Share of a chunk that the next one repeats, 1 to 99.
        lifetime: Whether the vectors outlive the stack. `RETAINED` keeps the vector bucket with its index, and the
            vectors of a data source that is removed or replaced.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        bucket: s3.Bucket,
        prefix: str,
        key: kms.IKey,
        embedding_model_id: str,
        dimension: int = 1024,
        chunk_tokens: int = 300,
        overlap_percent: int = 20,
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._lifetime = name, lifetime
        self.bucket, self.prefix, self.key = bucket, prefix, key
        self.embedding_model_id, self.dimension = embedding_model_id, dimension
        self.index = self._build_index()
        self.role = self._build_role()
        self.base = self._build_base()
        self.data_source = self._build_data_source(chunk_tokens, overlap_percent)

    @property
    def id(self) -> str:
        """Id of the knowledge base, with which it is called."""
        return self.base.attr_knowledge_base_id

    @property
    def arn(self) -> str:
        """ARN of the knowledge base."""
        return self.base.attr_knowledge_base_arn

    @property
    def data_source_id(self) -> str:
        """Id of the data source, without that of the knowledge base."""
        return self.data_source.attr_data_source_id

    @property
    def index_arn(self) -> str:
        """ARN of the vector index."""
        return self.index.attr_index_arn

    def grant_retrieve(self, grantee: iam.IRole) -> None:
        """Allow a role to search the documents, and nothing else."""
        grantee.add_to_principal_policy(
            iam.PolicyStatement(actions=["bedrock:Retrieve"], resources=[self.arn])
        )

    def _build_index(self) -> s3vectors.CfnIndex:
        """Create the index in a bucket of its own. All of its properties and the bucket's encryption force a
        replacement, so CloudFormation chooses the names."""
        bucket = s3vectors.CfnVectorBucket(
            self,
            "Vectors",
            encryption_configuration=s3vectors.CfnVectorBucket.EncryptionConfigurationProperty(
                sse_type="aws:kms", kms_key_arn=self.key.key_arn
            ),
        )
        index = s3vectors.CfnIndex(
            self,
            "Index",
            vector_bucket_arn=bucket.attr_vector_bucket_arn,
            data_type="float32",
            dimension=self.dimension,
            distance_metric="cosine",
            metadata_configuration=s3vectors.CfnIndex.MetadataConfigurationProperty(
                non_filterable_metadata_keys=list(NOT_FILTERABLE)
            ),
        )
        for resource in (bucket, index):
            resource.apply_removal_policy(self._lifetime.removal_policy)
        self._allow_indexing()
        return index

    def _allow_indexing(self) -> None:
        """Allow S3 Vectors to read what it indexes in the background (S3 User Guide, "Data protection and
        encryption in S3 Vectors")."""
        stack = Stack.of(self.key)
        source = stack.format_arn(service="s3vectors", resource="bucket", resource_name="*")
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("indexing.s3vectors.amazonaws.com")],
                actions=["kms:Decrypt"],
                resources=["*"],
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": source},
                },
            )
        )

    def _build_role(self) -> iam.Role:
        """Create the service role as the Bedrock User Guide lists it ("Create a service role for Amazon Bedrock
        Knowledge Bases")."""
        stack = Stack.of(self)
        own_account = {"StringEquals": {"aws:ResourceAccount": stack.account}}
        bases = stack.format_arn(service="bedrock", resource="knowledge-base", resource_name="*")
        role = iam.Role(
            self,
            "Role",
            description="Knowledge base: reads documents, embeds and stores their chunks",
            assumed_by=iam.ServicePrincipal(
                "bedrock.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": bases},
                },
            ),
        )
        documents = f"{self.prefix}/*"
        grant_invoke(role, self.embedding_model_id)
        _allow(role, ["s3:ListBucket"], self.bucket.bucket_arn, own_account)
        _allow(role, ["s3:GetObject"], self.bucket.arn_for_objects(documents), own_account)
        _allow(role, ["kms:Decrypt"], self.key.key_arn, through(stack, "s3"))
        _allow(role, [f"s3vectors:{action}" for action in INDEX_ACTIONS], self.index_arn)
        _allow(role, ["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn, through(stack, "s3vectors"))
        acknowledge_keys(role, "People publish new documents all the time.", self.bucket, documents)
        return role

    def _build_base(self) -> bedrock.CfnKnowledgeBase:
        model = bedrock.CfnKnowledgeBase.EmbeddingModelConfigurationProperty(
            bedrock_embedding_model_configuration=(
                bedrock.CfnKnowledgeBase.BedrockEmbeddingModelConfigurationProperty(
                    dimensions=self.dimension, embedding_data_type="FLOAT32"
                )
            )
        )
        base = bedrock.CfnKnowledgeBase(
            self,
            "Base",
            name=self._named(self.embedding_model_id, self.dimension, self.key.node.path),
            description="Documents that the assistant answers from",
            role_arn=self.role.role_arn,
            knowledge_base_configuration=bedrock.CfnKnowledgeBase.KnowledgeBaseConfigurationProperty(
                type="VECTOR",
                vector_knowledge_base_configuration=(
                    bedrock.CfnKnowledgeBase.VectorKnowledgeBaseConfigurationProperty(
                        embedding_model_arn=invoked_arn(Stack.of(self), self.embedding_model_id),
                        embedding_model_configuration=model,
                    )
                ),
            ),
            storage_configuration=bedrock.CfnKnowledgeBase.StorageConfigurationProperty(
                type="S3_VECTORS",
                s3_vectors_configuration=bedrock.CfnKnowledgeBase.S3VectorsConfigurationProperty(
                    index_arn=self.index_arn
                ),
            ),
        )
        # Bedrock tries the role's permissions when it makes the knowledge base.
        base.node.add_dependency(self.role.node.find_child("DefaultPolicy"))
        return base

    def _build_data_source(self, chunk_tokens: int, overlap_percent: int) -> bedrock.CfnDataSource:
        source = bedrock.CfnDataSource(
            self,
            "Documents",
            name=self._named(chunk_tokens, overlap_percent),
            knowledge_base_id=self.id,
            data_source_configuration=bedrock.CfnDataSource.DataSourceConfigurationProperty(
                type="S3",
                s3_configuration=bedrock.CfnDataSource.S3DataSourceConfigurationProperty(
                    bucket_arn=self.bucket.bucket_arn, inclusion_prefixes=[f"{self.prefix}/"]
                ),
            ),
            data_deletion_policy="RETAIN" if self._lifetime.protected else "DELETE",
            vector_ingestion_configuration=bedrock.CfnDataSource.VectorIngestionConfigurationProperty(
                chunking_configuration=bedrock.CfnDataSource.ChunkingConfigurationProperty(
                    chunking_strategy="FIXED_SIZE",
                    fixed_size_chunking_configuration=(
                        bedrock.CfnDataSource.FixedSizeChunkingConfigurationProperty(
                            max_tokens=chunk_tokens, overlap_percentage=overlap_percent
                        )
                    ),
                )
            ),
        )
        # Its deletion deletes vectors under the role, so that the policy must still be there.
        source.node.add_dependency(self.role.node.find_child("DefaultPolicy"))
        return source

    def _named(self, *replacing: Any) -> str:
        """Return a name that differs when a property changes that CloudFormation replaces the resource for: it makes
        the new one first, and a name can be taken once."""
        return f"{self._name}-{hashlib.sha256(json.dumps(replacing).encode()).hexdigest()[:8]}"


def through(stack: Stack, service: str) -> dict[str, Any]:
    """Return the condition that a key is used by a service on the caller's behalf."""
    return {"StringEquals": {"kms:ViaService": f"{service}.{stack.region}.amazonaws.com"}}


def _allow(
    role: iam.Role, actions: list[str], resource: str, conditions: dict[str, Any] | None = None
) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions))
