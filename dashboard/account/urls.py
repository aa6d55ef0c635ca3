"""The routes about a person. Names with `account_`, `mfa_` and `usersessions_` are those that allauth looks up."""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import path

from dashboard import palette
from dashboard.account import entrance, home, security, settings
from dashboard.account.framed import framed

urlpatterns = [
    path("", home.home, name="home"),
    path("palette", palette.palette, name="palette"),
    # the way in and out
    path("sign-in", account.login, name="account_login"),
    path("sign-in/passkey", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("sign-in/second-factor", mfa.authenticate, name="mfa_authenticate"),
    path("sign-in/suspended", account.account_inactive, name="account_inactive"),
    path("sign-out", account.logout, name="account_logout"),
    path("sign-up", entrance.sign_up, name="account_signup"),
    path("reset", entrance.reset, name="account_reset_password"),
    # once more the password or a key, before what matters
    path("account/confirm", framed(account.reauthenticate), name="account_reauthenticate"),
    path("account/confirm/code", framed(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("account/confirm/passkey", framed(webauthn.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
    # about oneself
    path("account/profile", settings.profile, name="account_profile"),
    path("account/appearance", settings.appearance, name="account_appearance"),
    path("account/sessions", security.sessions, name="usersessions_list"),
    path("account/security", security.security, name="mfa_index"),
    path("account/security/password", framed(account.password_change), name="account_change_password"),
    path("account/security/password/set", framed(account.password_set), name="account_set_password"),
    path("account/security/app", framed(totp.activate_totp), name="mfa_activate_totp"),
    path("account/security/app/remove", framed(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/security/codes", framed(recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("account/security/codes/new", framed(recovery_codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("account/security/codes/download", framed(recovery_codes.download_recovery_codes), name="mfa_download_recovery_codes"),
    path("account/security/passkeys", security.passkeys, name="mfa_list_webauthn"),
    path("account/security/passkeys/new", framed(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path("account/security/passkeys/<int:pk>/remove", framed(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("account/security/passkeys/<int:pk>", framed(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
]
