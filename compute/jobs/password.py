"""A password for an account in the guest, set by its agent."""

from __future__ import annotations

from cloudbox.common import events
from cloudbox.common.jobs import Kind, Run, Step
from compute import host, sealing
from compute.jobs.switching import subject
from compute.models import Instance


def _set(run: Run) -> None:
    instance = subject(run)
    sealed = run.arguments.get("sealed")
    if sealed is None:
        return  # done before, and forgotten
    password, user = sealing.unseal(sealed), run.arguments["user"]
    host.hypervisor().set_password(instance.id, user, password)
    kept = sealing.for_owner(instance.public_key, password) if run.arguments["keep"] else ""
    Instance.objects.filter(id=instance.id).update(sealed_password=kept, error="")
    events.publish(run.actor, "set-password", "instance", instance, detail=f"of {user}")
    _forget(run)


def _forget(run: Run) -> None:
    run.job.arguments = {key: value for key, value in run.arguments.items() if key != "sealed"}
    run.job.save(update_fields=["arguments"])


def _failed(run: Run, sentence: str) -> None:
    _forget(run)
    Instance.objects.filter(id=run.subject_id).update(error=f"The password was not set. {sentence}"[:500])


KIND = Kind(name="set-password-instance", noun="instance", steps=(Step("Setting the password", _set),), on_failed=_failed)
