from django.apps import AppConfig


class BoxConfig(AppConfig):
    name = "cloudbox.box"
    label = "box"
