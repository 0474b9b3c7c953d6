"""Settings of the network that the assistant runs in."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from settings.kinds import Pattern, Section, SubnetId

# RFC 1918, and RFC 6598, which AWS also accepts for VPCs. `IPv4Network.is_private` checks only a range's two
# ends.
PRIVATE_RANGES = tuple(
    IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)


class ExistingVpc(Section):
    """A VPC that already exists. Nothing is looked up: everything that the templates need to know is given
    here.
    """

    id: Annotated[str, Pattern(pattern=r"^vpc-[0-9a-f]{8,17}$")]
    """Id of the VPC in EC2."""
    cidr: str
    """IPv4 range of the VPC, from which an internal load balancer is reached."""
    zones: tuple[Annotated[str, Pattern(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")], ...]
    """Availability zones, in the order of the subnets."""
    public_subnets: tuple[SubnetId, ...] = ()
    """Subnets whose route table leads to an internet gateway; only needed with egress `public`."""
    private_subnets: tuple[SubnetId, ...] = ()
    """Subnets for tasks and endpoints; only needed with egress `nat` or `endpoints`."""
    private_route_tables: tuple[Annotated[str, Pattern(pattern=r"^rtb-[0-9a-f]{8,17}$")], ...] = ()
    """Route tables of the private subnets, in their order; only needed with egress `endpoints`."""

    @model_validator(mode="after")
    def _check(self) -> ExistingVpc:
        try:
            IPv4Network(self.cidr)
        except ValueError as error:
            raise ValueError(
                f"cidr is '{self.cidr}', but must be an IPv4 range such as 10.0.0.0/16 ({error})"
            ) from None
        if len(set(self.zones)) < 2:
            raise ValueError(
                f"zones are {len(set(self.zones))}, but must be at least 2: load balancers and tasks "
                "survive the loss of one"
            )
        for name in ("public_subnets", "private_subnets", "private_route_tables"):
            given = len(getattr(self, name))
            if given not in (0, len(self.zones)):
                raise ValueError(
                    f"{name} are {given}, but zones are {len(self.zones)}: name one for each zone, in its order"
                )
        return self


class Network(Section):
    """The VPC that the assistant runs in."""

    mode: Literal["new", "import", "none"] = "new"
    """Origin of the VPC. `import`: the one that `vpc` describes. `none`: there is no VPC, which only
    `assistant.compute` lambda can do without."""
    egress: Literal["public", "nat", "endpoints"] = "public"
    """Way to AWS services. `public`: tasks have public addresses and no NAT gateway is paid for. `nat`: from
    private subnets, whose way out is created, or exists in a VPC of yours. `endpoints`: from private subnets
    without a way to the internet, through an endpoint for each service, each paid by the hour in each zone
    (docs/deploy.md)."""
    zones: Annotated[int, Field(ge=2, le=3)] = 2
    """Number of availability zones of a new VPC."""
    vpc: ExistingVpc | None = None
    """Existing VPC, with mode `import`."""

    @model_validator(mode="after")
    def _check(self) -> Network:
        if (self.mode == "import") != (self.vpc is not None):
            raise ValueError(
                "mode import and vpc go together: set both, or neither"
                f" (mode is {self.mode}, vpc is {'set' if self.vpc else 'not set'})"
            )
        if self.vpc is not None:
            needed = {
                "public": ("public_subnets",),
                "nat": ("private_subnets",),
                "endpoints": ("private_subnets", "private_route_tables"),
            }
            for name in needed[self.egress]:
                if not getattr(self.vpc, name):
                    raise ValueError(
                        f"vpc.{name} is empty, but egress {self.egress} needs one for each of the "
                        f"{len(self.vpc.zones)} zones"
                    )
        return self
