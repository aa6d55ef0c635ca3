"""The entry of the web processes: WebSockets to consumers, everything else to Django."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudbox.settings")
_http = get_asgi_application()

# Consumers import models, so they come after Django is set up.
from cloudbox.bodies import BoundedBodies, StreamedBodies  # noqa: E402
from cloudbox.origin import SameOrigin  # noqa: E402
from cloudbox.sockets import EndingSockets  # noqa: E402
from compute.routing import websocket_urlpatterns as consoles  # noqa: E402
from dashboard.routing import websocket_urlpatterns as live  # noqa: E402

_bounded = BoundedBodies(_http, bytes_max=settings.BODY_BYTES_MAX, seconds=settings.BODY_SECONDS)
application = ProtocolTypeRouter(
    {
        "http": StreamedBodies(
            _bounded, pattern=r"/image/v2/images/[^/]+/(file|stage)", bytes_max=settings.IMAGE_BYTES_MAX, seconds=settings.BODY_SECONDS
        ),
        "websocket": EndingSockets(SameOrigin(AuthMiddlewareStack(URLRouter([*live, *consoles])))),
    }
)
