"""Django settings of the box: the only file that reads the environment.

`CLOUDBOX_HOME` names the box's home; `box.json` in it, written by `bin/cloudbox up`, says the rest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("CLOUDBOX_HOME", "/var/lib/cloudbox"))
TESTING = os.environ.get("CLOUDBOX_TEST") == "1"
RUN_DIR = HOME / "run"


def _read(path: Path, default: str) -> str:
    """A file of the home, or the default where the home is not made yet (`makemigrations`, linters)."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return default


def _near(bind: str) -> str:
    """The address that a process on this host uses for what listens on `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(bind, f"[{bind}]" if ":" in bind else bind)


BOX: dict[str, Any] = {
    "name": "cbx-none",
    "port": 8000,
    "bind": "127.0.0.1",
    "hosts": ["*"],
    "accelerator": "tcg",
    "drivers": "fake",
} | json.loads(_read(HOME / "box.json", "{}"))
BOX_NAME: str = BOX["name"]
PUBLIC_URL: str = BOX.get("url") or f"http://127.0.0.1:{BOX['port']}"

# What signatures of S3 and the catalogue of OpenStack name; there is one on a box.
REGION: str = BOX.get("region", "us-east-1")
# Where the data plane listens; none on a box that runs no object store.
STORE_PORT: int | None = BOX.get("store_port")
STORE_TLS_PORT: int | None = BOX.get("store_tls_port")
# How the other processes reach the object store: the box's own, or whatever S3 endpoint `store_url` names (a Ceph RGW, say).
STORE_URL: str = BOX.get("store_url") or (f"http://{_near(BOX['bind'])}:{STORE_PORT}" if STORE_PORT else "")
# Where the files of images lie instead of in a bucket of the box's own: "url", "bucket" and "region" of any S3. Its keys are root's.
IMAGE_STORE: dict[str, str] = BOX.get("image_store", {})
IMAGE_STORE_KEYS_FILE = HOME / "secrets" / "image_store.json"
# How much of them this host keeps beyond what its disks stand on.
IMAGE_CACHE_BYTES: int = int(BOX.get("image_cache_gib", 20)) * 2**30
# Who signs its certificate, where that is nobody whom the host trusts anyway; a file of PEM.
STORE_CA: str = BOX.get("store_ca", "")
# How browsers reach it, if not under the portal's host name on the store's port (behind a proxy, say).
STORE_PUBLIC_URL: str = BOX.get("store_public_url", "")
# Networks besides the internet that webhooks may be posted to ("10.20.0.0/16"), and who else signs certificates there; a file of PEM.
WEBHOOK_NETWORKS: list[str] = BOX.get("webhook_networks", [])
WEBHOOK_CA: str = BOX.get("webhook_ca", "")
# The same for the addresses that images are fetched from.
IMAGE_NETWORKS: list[str] = BOX.get("image_networks", [])
IMAGE_CA: str = BOX.get("image_ca", "")

# Without a home there is nothing to sign, and nothing is served: any text will do.
SECRET_KEY = _read(HOME / "secrets" / "django.key", "no-home-yet-" + "0" * 50).strip()
# Seals what must be readable again: secret halves of access keys.
MASTER_KEY_FILE = HOME / "secrets" / "master.key"

DEBUG = False
ALLOWED_HOSTS: list[str] = BOX["hosts"]
TLS: bool = PUBLIC_URL.startswith("https://")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "procrastinate.contrib.django",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "cloudbox.common",
    "identity",
    "compute",
    "storage",
    "dashboard",
    "cloudbox.box",
]
# The worker and the data plane serve no pages. Without what only pages need each of them is some 4 MiB smaller.
if os.environ.get("CLOUDBOX_PAGES") == "no":
    _FOR_PAGES = (
        "django.contrib.humanize",
        "django.contrib.messages",
        "channels",
        "rest_framework",
        "django_filters",
        "drf_",
        "allauth",
        "dashboard",
    )
    INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith(_FOR_PAGES)]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "cloudbox.common.requests.RequestIdMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "identity.authn.seen.SeenMiddleware",
    "cloudbox.common.requests.HostileInputMiddleware",
]

ROOT_URLCONF = "cloudbox.urls"
# No address of ours ends with a slash; a redirect would only hide a mistake.
APPEND_SLASH = False
ASGI_APPLICATION = "cloudbox.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "dashboard" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "dashboard.context.shell",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "cloudbox",
        "USER": "cloudbox",
        "HOST": str(RUN_DIR / "postgres"),
        # Under ASGI every request may run in another thread: a pool, not persistent connections. Each costs PostgreSQL 4 MiB, so those
        # that a burst has opened go again after a minute.
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 12, "timeout": 10, "max_idle": 60}} if not TESTING else {},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_REDIS = f"unix://{RUN_DIR / 'redis.sock'}"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_REDIS], "prefix": BOX_NAME},
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": _REDIS, "KEY_PREFIX": BOX_NAME}}

AUTH_USER_MODEL = "identity.User"
# E-mail addresses are unique, whatever their letters' case: a constraint on Lower("email"), which this check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "identity.adapter.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
# Ten tries a minute from one address; five wrong ones for one account, then a pause of fifteen minutes.
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "20/m/ip,5/900s/key"}
USERSESSIONS_TRACK_ACTIVITY = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ADAPTER = "identity.adapter.MfaAdapter"
MFA_TOTP_ISSUER = "Cloudbox"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not TLS

SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Two boxes on one host share the host name, and cookies do not know ports.
SESSION_COOKIE_NAME = f"{BOX_NAME}-session"
CSRF_COOKIE_NAME = f"{BOX_NAME}-csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TLS
CSRF_FAILURE_VIEW = "dashboard.errors.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'", "ws:", "wss:"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "manifest-src": ["'self'"],
    }
}

# Bodies of forms and JSON; objects and images do not pass through Django.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# Somewhat above it, so that what is a little too large is refused by a page with a way back; and how long one may take to send it.
BODY_BYTES_MAX = DATA_UPLOAD_MAX_MEMORY_SIZE + 256 * 1024
BODY_SECONDS: float = BOX.get("body_seconds", 30)
IMAGE_BYTES_MAX = 64 * 2**30  # of an image that is uploaded; it goes into a file as it comes
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS: list[Any] = [BASE_DIR / "static"]
# Browser packages come by `npm ci`; only what the pages load is published.
NODE_MODULES = Path(BOX.get("node_modules", BASE_DIR / "node_modules"))
for _prefix, _folder in {
    "vendor/tabler": "@tabler/core/dist/css",
    "vendor/htmx": "htmx.org/dist",
    "vendor/alpine": "@alpinejs/csp/dist",
    "vendor/xterm": "@xterm/xterm",
    "vendor/xterm-fit": "@xterm/addon-fit",
    "vendor/novnc/core": "@novnc/novnc/core",
    "vendor/novnc/vendor": "@novnc/novnc/vendor",
    "vendor/uplot": "uplot/dist",
    "vendor/geist": "@fontsource-variable/geist/files",
    "vendor/geist-mono": "@fontsource-variable/geist-mono/files",
}.items():
    if (NODE_MODULES / _folder).is_dir():
        STATICFILES_DIRS.append((_prefix, NODE_MODULES / _folder))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.staticfiles.HashedStaticFiles"},
}
WHITENOISE_MAX_AGE = 31536000

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "dashboard.api.authentication.ApiTokenAuthentication",
        "dashboard.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "dashboard.api.errors.handle",
    "DEFAULT_THROTTLE_CLASSES": ["dashboard.api.throttling.ProjectThrottle"],
    "DEFAULT_THROTTLE_RATES": {"project": "1200/min"},
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Cloudbox API",
    "DESCRIPTION": "Everything the portal can do, as JSON over HTTP.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "dashboard.api.openapi.finish"],
}

# Drivers of this host, chosen by `up`; tests choose the fakes.
DRIVERS: str = BOX["drivers"]
ACCELERATOR: str = BOX["accelerator"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "procrastinate": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django.security.csrf": {"level": "ERROR"},
    },
}
