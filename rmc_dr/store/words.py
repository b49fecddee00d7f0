"""The checks of the store as an operator reads them: what each one means, and what to do where it fails."""

from __future__ import annotations

from rmc_dr.i18n import _


def title(name: str) -> str:
    """What a check looks at; ``name`` is that of the check."""
    return {
        "reachable": _("the store answers"),
        "trusted": _("its certificate can be trusted"),
        "clock": _("its clock agrees"),
        "answers": _("it goes on answering"),
        "bucket": _("the bucket is there"),
        "versioning": _("it keeps versions"),
        "lock": _("new versions are locked by default"),
        "room": _("there is room"),
        "speed": _("it is fast enough"),
        "writer-puts": _("the writer puts"),
        "writer-gets": _("the writer gets"),
        "writer-lists": _("the writer lists"),
        "writer-uploads-parts": _("the writer uploads in parts"),
        "writer-hides": _("the writer hides by a plain deletion"),
        "writer-hides-at-once": _("the writer hides by the bulk request"),
        "writer-deletes-version": _("the writer cannot delete a version"),
        "writer-deletes-versions-at-once": _("the writer cannot delete versions by the bulk request"),
        "writer-deletes-locked": _("the writer cannot delete a locked version"),
        "writer-bypasses-lock": _("the writer cannot bypass a lock"),
        "writer-extends-lock": _("the writer cannot change a lock"),
        "writer-changes-settings": _("the writer cannot change the bucket"),
        "verifier-lists": _("the verifier lists all versions"),
        "verifier-reads-hidden": _("the verifier reads what was hidden"),
        "verifier-puts": _("the verifier cannot put"),
        "verifier-hides": _("the verifier cannot hide"),
        "verifier-deletes-version": _("the verifier cannot delete a version"),
        "verifier-changes-settings": _("the verifier cannot change the bucket"),
        "keeper-puts": _("the keeper puts"),
        "keeper-gets": _("the keeper gets"),
        "keeper-lists": _("the keeper lists"),
        "keeper-hides": _("the keeper hides by a plain deletion"),
        "keeper-expires": _("the keeper deletes a version that is not locked"),
        "keeper-expires-at-once": _("the keeper deletes versions by the bulk request"),
        "keeper-deletes-locked": _("the keeper cannot delete a locked version"),
        "keeper-bypasses-lock": _("the keeper cannot bypass a lock"),
        "keeper-shortens-lock": _("the keeper cannot make a lock shorter"),
        "keeper-extends-lock": _("the keeper makes a lock longer"),
        "keeper-changes-settings": _("the keeper cannot change the bucket"),
        "locked-stays": _("what was locked is still there"),
        "locked-until": _("a new version is locked as the estate says"),
    }.get(name, name)


def hint(name: str) -> str:
    """What to do where this check fails."""
    return {
        "reachable": _("Is the host on, and `systemctl status ceph-radosgw@rgw.a` on it?"),
        "trusted": _("`rmc-dr estate init` renews the estate's certificates; then converge the store."),
        "clock": _("Set the clocks right first: requests are refused and locks end at the wrong time."),
        "answers": _("It hangs: is its disk full, does `ceph-osd@0` run?"),
        "speed": _("Look at the network between here and the store, then at its disk (`iostat -x 5`)."),
        "room": _("Raise estate.s3.quota_gib and converge the store, or let old backups expire."),
    }.get(name, _("Converge the store; one of another owner needs its own rules: docs/runbooks/store.md"))
