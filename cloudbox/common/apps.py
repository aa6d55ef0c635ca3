from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "cloudbox.common"
    label = "common"
