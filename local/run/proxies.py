"""Keep connections to this machine off the proxies that the environment names."""

from __future__ import annotations

import importlib.util
from collections.abc import MutableMapping

LOCAL = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def bypass(environment: MutableMapping[str, str]) -> None:
    """Add this machine's names to ``NO_PROXY``, in both spellings.

    A SOCKS proxy is dropped if the package that supports it is missing, because httpx then refuses to create
    any client, even for a local address.
    """
    known = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in known.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in LOCAL if name not in names]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(names)
    if importlib.util.find_spec("socksio") is None:
        for name in (*PROXIES, *(name.upper() for name in PROXIES)):
            if environment.get(name, "").lower().startswith("socks"):
                del environment[name]
