"""An OAuth 2.0 client as RFC 6749 and RFC 7636 describe it, step by step, and a pool to sign in to."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt

from local.aws.kernel.cloud import Cloud

CALLBACK = "http://localhost:8080/signed-in"
HOME = "http://localhost:8080/"
PASSWORD = "Correct-horse-9"
OAUTH: dict[str, Any] = {
    "AllowedOAuthFlowsUserPoolClient": True,
    "AllowedOAuthFlows": ["code"],
    "AllowedOAuthScopes": ["openid"],
    "CallbackURLs": [CALLBACK],
    "LogoutURLs": [HOME],
    "SupportedIdentityProviders": ["COGNITO"],
    "RefreshTokenRotation": {"Feature": "ENABLED", "RetryGracePeriodSeconds": 60},
    "ReadAttributes": ["email", "preferred_username"],
}


class SignInPool:
    """A pool with managed login, a client with a branding, and a user."""

    def __init__(self, cloud: Cloud, *, mfa: str = "OPTIONAL", pool: Any = None, **client: Any) -> None:
        self.cloud, self.cognito = cloud, cloud.client("cognito-idp")
        self.id = self.cognito.create_user_pool(PoolName="pool", **(pool or {}))["UserPool"]["Id"]
        self.cognito.set_user_pool_mfa_config(
            UserPoolId=self.id, MfaConfiguration=mfa, SoftwareTokenMfaConfiguration={"Enabled": True}
        )
        self.domain = f"desk-{secrets.token_hex(6)}"
        self.cognito.create_user_pool_domain(UserPoolId=self.id, Domain=self.domain, ManagedLoginVersion=2)
        self.client_id = self.cognito.create_user_pool_client(
            UserPoolId=self.id, ClientName="app", **{**OAUTH, **client}
        )["UserPoolClient"]["ClientId"]
        self.branding = self.cognito.create_managed_login_branding(
            UserPoolId=self.id, ClientId=self.client_id, UseCognitoProvidedValues=True
        )["ManagedLoginBranding"]["ManagedLoginBrandingId"]
        self.add_user("ada", name="Ada <Lovelace>", profile='handles claims & "notes"')

    def add_user(self, username: str, **attributes: str) -> None:
        self.cognito.admin_create_user(
            UserPoolId=self.id,
            Username=username,
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
        )
        self.cognito.admin_set_user_password(
            UserPoolId=self.id, Username=username, Password=PASSWORD, Permanent=True
        )

    def discovered(self) -> dict[str, Any]:
        url = f"{self.cloud.endpoint}/{self.id}/.well-known/openid-configuration"
        return dict(httpx.get(url).raise_for_status().json())


class Browser:
    """A browser with one application open, which redirects nowhere by itself."""

    def __init__(self, pool: SignInPool) -> None:
        self.pool, self.endpoints = pool, pool.discovered()
        self.http = httpx.Client(follow_redirects=False)
        self.verifier = secrets.token_urlsafe(48)
        self.state, self.nonce = secrets.token_urlsafe(8), secrets.token_urlsafe(8)

    def request(self, **changes: str | None) -> dict[str, str]:
        """Return the parameters of a sign-in; None leaves one out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.pool.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    def authorize(self, **changes: str | None) -> httpx.Response:
        return self.http.get(self.endpoints["authorization_endpoint"], params=self.request(**changes))

    def login_page(self, **changes: str | None) -> httpx.Response:
        """Go to the login page, where authorize sends somebody who is not signed in."""
        sent = self.authorize(**changes)
        assert sent.status_code == 302, sent.text
        return self.http.get(
            httpx.URL(self.endpoints["authorization_endpoint"]).join(sent.headers["location"])
        )

    def choose(self, username: str = "ada", **changes: str | None) -> httpx.Response:
        """Click on a user of the login page."""
        page = self.login_page(**changes)
        assert page.status_code == 200, page.text
        (csrf,) = re.findall(r'name="_csrf" value="([^"]+)"', page.text)
        return self.http.post(page.url, data={"_csrf": csrf, "username": username})

    def code(self, username: str = "ada", **changes: str | None) -> str:
        returned = returned_to(self.choose(username, **changes))
        assert returned["state"] == self.state
        return returned["code"]

    def token(self, **form: str | None) -> httpx.Response:
        fields = {"client_id": self.pool.client_id, **form}
        return httpx.post(
            self.endpoints["token_endpoint"],
            data={name: value for name, value in fields.items() if value is not None},
        )

    def exchange(self, code: str, **changes: str | None) -> httpx.Response:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": self.verifier, **changes}
        return self.token(grant_type="authorization_code", **form)

    def refresh(self, token: str, **changes: str | None) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=token, **changes)

    def sign_in(self, username: str = "ada") -> dict[str, Any]:
        return dict(self.exchange(self.code(username)).raise_for_status().json())

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of an ID token as any OpenID Connect client checks them."""
        keys = jwt.PyJWKClient(self.endpoints["jwks_uri"])
        key = keys.get_signing_key_from_jwt(token).key
        return dict(
            jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self.pool.client_id,
                issuer=self.endpoints["issuer"],
                options={"verify_exp": False, "verify_iat": False},
            )
        )


def returned_to(answer: httpx.Response, address: str = CALLBACK) -> dict[str, str]:
    """Return the parameters with which an answer leads back to the application."""
    assert answer.status_code == 302, answer.text
    target = urlsplit(answer.headers["location"])
    assert target._replace(query="").geturl() == address
    return {name: values[0] for name, values in parse_qs(target.query).items()}
