"""The Transaction Search stack: where spans are kept, for the whole account and region. It never changes."""

from constructs import Construct
from constructs.transaction_search import TransactionSearch as Construction

from settings import Settings
from stacks.base import FmopsStack


class TransactionSearch(FmopsStack):
    """CloudWatch Transaction Search, apart from everything else, since all environments of an account share
    it.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id, settings, description="FMOps: Transaction Search of account and region")
        Construction(self, "TransactionSearch", index_percent=settings.observability.span_index_percent)
