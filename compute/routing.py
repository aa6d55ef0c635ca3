"""Where the console's WebSocket lives."""

from django.urls import path

from compute.consumers import ConsoleConsumer

websocket_urlpatterns = [path("console/<str:token>", ConsoleConsumer.as_asgi())]
