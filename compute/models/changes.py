"""What stands beside an instance: changes that can be taken back, hours at which it runs, what its guest tells of itself."""

from __future__ import annotations

from django.db import models

from compute.models.catalogue import Flavor, Image
from compute.models.instances import Instance


class Reversal(models.Model):
    """A change that can be taken back until a moment. `held_…` is the quota that stays charged until then, besides the instance's own."""

    class Kind(models.TextChoices):
        RESIZE = "resize", "Resize"
        REBUILD = "rebuild", "Rebuild"

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="reversals")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    # As it was before: the size of a resize, the image of a rebuild, whose root disk is kept.
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT, null=True, related_name="+")
    vcpus = models.PositiveSmallIntegerField(default=0)
    memory_mib = models.PositiveIntegerField(default=0)
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="+")
    held_vcpus = models.PositiveSmallIntegerField(default=0)
    held_memory_mib = models.PositiveIntegerField(default=0)
    held_disk_gib = models.PositiveIntegerField(default=0)
    # The change itself is done: before, it is under way. Then `until` is when it becomes final.
    until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "kind"], name="reversal_one_of_a_kind")]
        indexes = [models.Index(fields=["until"], name="reversal_until")]


class OfficeHours(models.Model):
    """When an instance runs: on some weekdays, from one time of the day to another, in a time zone. Outside it is stopped."""

    instance = models.OneToOneField(Instance, on_delete=models.CASCADE, related_name="office_hours")
    days = models.PositiveSmallIntegerField()  # bit 0 is Monday
    starts = models.TimeField()
    stops = models.TimeField()
    zone = models.CharField(max_length=64)
    # The last beginning or end that was acted upon: each is once, also when the box was off at its time.
    applied_at = models.DateTimeField()


class GuestReport(models.Model):
    """What the agent in the guest last told; a guest's word, to be shown and not to be trusted."""

    instance = models.OneToOneField(Instance, on_delete=models.CASCADE, related_name="guest_report")
    at = models.DateTimeField()
    facts = models.JSONField(default=dict)
