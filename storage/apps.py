from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "storage"

    def ready(self) -> None:
        from identity import quotas
        from storage import buckets, bulk, inventories, removal

        quotas.counters.append(buckets.count_of)
        removal.register()
        bulk.register()
        inventories.register()
