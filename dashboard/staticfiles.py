"""Static files under hashed names, compressed, cached for ever."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """Also rewrites the imports of ES modules. A source map that a package forgot is no reason to stop."""

    support_js_module_import_aggregation = True
    manifest_strict = False

    # Source maps are for the packages' own developers, and some name files that are not shipped.
    patterns = tuple(
        (glob, tuple(rule for rule in rules if "sourceMappingURL" not in (rule if isinstance(rule, str) else rule[0])))
        for glob, rules in CompressedManifestStaticFilesStorage.patterns
    )
