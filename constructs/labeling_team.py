"""Private workteams, functions and a role for Ground Truth labelling jobs."""

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct, IDependable
from constructs.acknowledge import acknowledge, acknowledge_keys
from constructs.data_lifetime import DataLifetime
from constructs.user_directory import add_branding

FUNCTIONS = Path(__file__).parents[1] / "lambdas" / "labeling"


class LabelingTeam(Construct):
    """Groups of a user pool as private workteams, the pre- and post-annotation functions, and the role
    of labelling jobs.

    Ground Truth is closed to new customers since 2026-07-30: only accounts that already have it can deploy
    this. An account has one private workforce per region.

    Args:
        name: Beginning of the jobs' names, and part of the workforce's sign-in address.
        pool: User pool of the workers.
        group: Group of the pool whose members form the workteam that labels.
        adjudicators: Group of the pool whose members settle what the others disagree on.
        domain: Domain that the pool has already, since it can have one only, with managed login. By default the
            team gives it one.
        code: Folder with the functions `handler.pre` and `handler.post`. The functions of this
            package by default.
        bucket: Bucket of manifests and labels.
        prefix: Key prefix of manifests and labels, without a slash at its end.
        lifetime: Whether the log groups of the functions outlive the stack.
        log_retention: How long the log groups of the functions keep events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        pool: cognito.IUserPool,
        group: str,
        adjudicators: str,
        domain: cognito.UserPoolDomain | None = None,
        code: Path = FUNCTIONS,
        bucket: s3.Bucket,
        prefix: str,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._bucket, self._prefix = name, bucket, prefix
        self._lifetime, self._log_retention = lifetime, log_retention
        self._pool, self._client = pool, self._build_client(pool)
        self._workforce = self._build_workforce(domain)
        self.workteam = self._build_workteam("Workteam", name, "Reviews answers", group)
        self.adjudicators = self._build_workteam(
            "Adjudicators", f"{name}-adjudicators", "Settles what reviewers disagree on", adjudicators
        )
        self.pre = self._build_function("Pre", "Shows a worker one line of the manifest", code)
        self.post = self._build_function("Post", "Makes one annotation of all workers' answers", code)
        self._let_post_read()
        self.role = self._build_role()

    def grant_create(self, role: iam.Role) -> None:
        """Allow a role to create and describe labelling jobs whose names begin with the name."""
        stack = Stack.of(self)
        arn = f"arn:{stack.partition}:sagemaker:{stack.region}:{stack.account}:labeling-job/{self._name}-*"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:CreateLabelingJob", "sagemaker:DescribeLabelingJob"], resources=[arn]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
        resolved = stack.resolve(arn)
        named = (
            resolved
            if isinstance(resolved, str)
            else "".join(
                part if isinstance(part, str) else f"<{part['Ref']}>" for part in resolved["Fn::Join"][1]
            )
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "Each day has a labelling job of its own.",
            f"AwsSolutions-IAM5[Resource::{named}]",
        )

    def _build_client(self, pool: cognito.IUserPool) -> cognito.UserPoolClient:
        """Create the app client with which workers sign in at the pool's own page. SageMaker needs a client
        with a secret, and a domain."""
        return cognito.UserPoolClient(
            self,
            "Client",
            user_pool=pool,
            generate_secret=True,
            prevent_user_existence_errors=True,
            # Without this a client can write every attribute, and policies rely on some of them.
            write_attributes=cognito.ClientAttributes().with_standard_attributes(email=True),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
        )

    def _build_workforce(self, domain: cognito.UserPoolDomain | None) -> sagemaker.CfnWorkforce:
        ready: IDependable
        if domain is None:
            ready = cognito.UserPoolDomain(
                self,
                "Domain",
                user_pool=self._pool,
                cognito_domain=cognito.CognitoDomainOptions(
                    domain_prefix=f"{self._name}-{Stack.of(self).account}"
                ),
            )
        else:
            ready = add_branding(self, "Branding", self._pool, self._client)
        workforce = sagemaker.CfnWorkforce(
            self,
            "Workforce",
            workforce_name=self._name,
            cognito_config=sagemaker.CfnWorkforce.CognitoConfigProperty(
                client_id=self._client.user_pool_client_id, user_pool=self._pool.user_pool_id
            ),
        )
        workforce.node.add_dependency(ready)
        return workforce

    def _build_workteam(
        self,
        id: str,  # noqa: A002 - CDK's name
        name: str,
        description: str,
        group: str,
    ) -> sagemaker.CfnWorkteam:
        member = sagemaker.CfnWorkteam.CognitoMemberDefinitionProperty(
            cognito_client_id=self._client.user_pool_client_id,
            cognito_user_pool=self._pool.user_pool_id,
            cognito_user_group=group,
        )
        workteam = sagemaker.CfnWorkteam(
            self,
            id,
            workteam_name=name,
            workforce_name=self._workforce.workforce_name,
            description=description,
            member_definitions=[
                sagemaker.CfnWorkteam.MemberDefinitionProperty(cognito_member_definition=member)
            ],
        )
        workteam.node.add_dependency(self._workforce)
        return workteam

    def _build_function(self, id: str, description: str, code: Path) -> lambda_.Function:  # noqa: A002 - CDK's name
        role = iam.Role(self, f"{id}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = logs.LogGroup(
            self, f"{id}Logs", retention=self._log_retention, removal_policy=self._lifetime.removal_policy
        )
        log_group.grant_write(role)
        return lambda_.Function(
            self,
            id,
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"handler.{id.lower()}",
            code=lambda_.Code.from_asset(str(code), exclude=["__pycache__"]),
            timeout=Duration.minutes(5),
            memory_size=256,
            role=role,
            log_group=log_group,
        )

    def _let_post_read(self) -> None:
        role = self.post.role
        assert isinstance(role, iam.Role)  # noqa: S101 - made above
        keys = f"{self._prefix}/output/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[self._bucket.arn_for_objects(keys)])
        )
        if self._bucket.encryption_key is not None:
            self._bucket.encryption_key.grant(role, "kms:Decrypt")
        acknowledge_keys(role, "Each job writes its answers under keys of its own.", self._bucket, keys)

    def _build_role(self) -> iam.Role:
        """Create the role that the guide lists for custom labelling jobs, limited to the keys below the
        prefix.
        """
        role = iam.Role(
            self,
            "Role",
            description="Ground Truth: reads manifests, writes labels, calls the functions",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        keys = f"{self._prefix}/*"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                resources=[self._bucket.arn_for_objects(keys)],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetBucketLocation", "s3:ListBucket"], resources=[self._bucket.bucket_arn]
            )
        )
        if self._bucket.encryption_key is not None:
            self._bucket.encryption_key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"],
                resources=[self.pre.function_arn, self.post.function_arn],
            )
        )
        acknowledge_keys(role, "Each job has keys of its own.", self._bucket, keys)
        return role
