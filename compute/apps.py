from django.apps import AppConfig


class ComputeConfig(AppConfig):
    name = "compute"

    def ready(self) -> None:
        from compute import jobs, reconcilers, security_groups
        from identity import projects

        jobs.register()
        reconcilers.register()
        projects.on_create.append(security_groups.create_default)
