"""`videogen serve --check URL`: asks a running server whether it works, for containers without curl."""

import ssl
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from videogen.errors import UsageError, VideogenError

CHECK_SECONDS = 5.0


def check_health(url: str) -> None:
    """Returns if GET /health is 200; else VideogenError, which exits with 1.

    The certificate is not checked: a server is asked by an address of its own machine, and nothing secret is sent.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--check is {url!a}; it must be an address such as http://127.0.0.1:8000")
    unverified = ssl._create_unverified_context()
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=unverified))
    try:
        with opener.open(f"{url.rstrip('/')}/health", timeout=CHECK_SECONDS):
            return
    except HTTPError as error:
        reason = f"status {error.code}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error)
    raise VideogenError(f"{url}: not healthy ({reason})")
