"""A small cloud for tests: two projects, one person of every role, a size, an image, a network; all made through the verbs."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from cloudbox.common import jobs
from cloudbox.common.models import Job
from compute import flavors, host, instances, networks, volume_types, well_known_images
from compute.instances import LaunchSpec
from compute.models import CatalogueEntry, Flavor, Image, Instance, Network
from identity import credentials, projects, users
from identity.authn.session import context_of
from identity.context import SYSTEM, Context
from identity.models import Project, User


@dataclass
class World:
    """`users` by role: owner (project admin), member, reader, support, admin (of the box), stranger (admin of `other`)."""

    users: dict[str, User] = field(default_factory=dict)
    project: Project = None  # type: ignore[assignment]
    other: Project = None  # type: ignore[assignment]
    flavor: Flavor = None  # type: ignore[assignment]
    image: Image = None  # type: ignore[assignment]
    network: Network = None  # type: ignore[assignment]

    def ctx(self, who: str, project: Project | None = None) -> Context:
        return context_of(self.users[who], (project or self.project).slug, api="rest")

    def box(self, who: str = "admin") -> Context:
        """A context about no project, as the admin console has it."""
        return context_of(self.users[who], None, api="portal")

    def token(self, who: str, role: str = "admin", *, reaches_box: bool = False) -> str:
        """An API token's text; of the stranger, in the stranger's own project."""
        project = self.other if who == "stranger" else self.project
        return credentials.create_token(self.ctx(who, project), name=f"test {who} {uuid4().hex[:8]}", role=role, reaches_box=reaches_box)[1]

    def launch(self, who: str = "member", **changes: object) -> list[Instance]:
        spec = {"name": "web", "image_id": self.image.id, "flavor_id": self.flavor.id} | changes
        return instances.launch(self.ctx(who), LaunchSpec(**spec))  # type: ignore[arg-type]

    def running(self, **changes: object) -> Instance:
        """An instance whose launch job has been carried out."""
        instance = self.launch(**changes)[0]
        work(instance.id)
        instance.refresh_from_db()
        assert instance.status == "running", instance.error
        return instance


def build() -> World:
    world = World()
    if not CatalogueEntry.objects.exists():  # What a migration had put there, until a test emptied all tables.
        CatalogueEntry.objects.bulk_create([CatalogueEntry(**fields) for fields in well_known_images.ENTRIES])
    for who, box_role in {"owner": "", "member": "", "reader": "", "support": "support", "admin": "admin", "stranger": ""}.items():
        world.users[who], _ = users.create(SYSTEM, email=f"{who}@example.org", name=who.title(), box_role=box_role)
    world.project = projects.create(SYSTEM, name="Shop", owner_email="owner@example.org")
    world.other = projects.create(SYSTEM, name="Elsewhere", owner_email="stranger@example.org")
    for who in ("member", "reader"):
        projects.add_member(world.ctx("owner"), email=f"{who}@example.org", role=who)
    world.flavor = flavors.create(SYSTEM, name="m1.tiny", vcpus=1, memory_mib=512, disk_gib=5)
    volume_types.create(SYSTEM, name="standard")
    world.image = Image.objects.create(name="Debian", status="ready", visibility="public", virtual_bytes=2 * 2**30, size_bytes=7)
    host.images().put(world.image.id, io.BytesIO(b"QFI\xfb..."))
    world.network = networks.create(world.ctx("owner"), name="private")
    return world


def work(subject_id: UUID | None = None, *, rounds: int = 20) -> None:
    """Be the worker: carry every unfinished job (of the subject), as often as it asks to be called again."""
    for _ in range(rounds):
        todo = Job.objects.exclude(state__in=[Job.State.DONE, Job.State.FAILED]).order_by("created_at")
        ids = list((todo.filter(subject_id=subject_id) if subject_id else todo).values_list("id", flat=True))
        if not ids:
            return
        for id in ids:
            jobs.run(id)
    raise AssertionError("jobs are still not done")
