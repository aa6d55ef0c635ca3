"""What each module of cloud-init reads, with its types (https://cloudinit.readthedocs.io/en/latest/reference/modules.html).

Modules of single vendors are known by name only: what is in them is theirs.
"""

from __future__ import annotations

from compute.cloud_config.types import ANY, FLAG, LOOSE, NOTHING, NUMBER, TEXT, TEXTS, WHOLE, Keys, ListOf, Type, Word, either

_VENDOR = either(Keys(more=ANY), NOTHING)
_TEXT_OR_TEXTS = either(TEXT, TEXTS)
_NAME_OR_NUMBER = either(TEXT, WHOLE)
# A line for the shell, or a program with its arguments; cloud-init turns numbers and words like yes into text.
_COMMANDS = ListOf(either(TEXT, ListOf(either(LOOSE, NOTHING), "a list of texts"), NOTHING))
_COMMANDS_OR_MAP = either(_COMMANDS, Keys(more=either(TEXT, TEXTS)))

_USER = Keys(
    {
        "name": TEXT,
        "gecos": TEXT,
        "homedir": TEXT,
        "primary_group": TEXT,
        "groups": either(TEXT, TEXTS, Keys(more=NOTHING)),
        "selinux_user": TEXT,
        "lock_passwd": FLAG,
        "lock-passwd": FLAG,
        "expiredate": either(TEXT, LOOSE),
        "inactive": either(TEXT, LOOSE),
        "passwd": TEXT,
        "hashed_passwd": TEXT,
        "plain_text_passwd": TEXT,
        "create_groups": FLAG,
        "no_create_home": FLAG,
        "no_user_group": FLAG,
        "no_log_init": FLAG,
        "ssh_authorized_keys": TEXTS,
        "ssh-authorized-keys": TEXTS,
        "ssh_import_id": TEXTS,
        "ssh_redirect_user": FLAG,
        "system": FLAG,
        "snapuser": TEXT,
        "shell": TEXT,
        "sudo": either(TEXT, TEXTS, FLAG, NOTHING),
        "doas": TEXTS,
        "uid": _NAME_OR_NUMBER,
    }
)
_APT_SOURCE = Keys(
    {"source": TEXT, "keyid": TEXT, "key": TEXT, "keyserver": TEXT, "filename": TEXT, "append": FLAG},
)
_APT_MIRROR = ListOf(
    Keys(
        {"arches": TEXTS, "uri": TEXT, "search": TEXTS, "search_dns": FLAG, "keyid": TEXT, "key": TEXT, "keyserver": TEXT},
        needs=("arches",),
    )
)
_APT = Keys(
    {
        "preserve_sources_list": FLAG,
        "disable_suites": TEXTS,
        "primary": _APT_MIRROR,
        "security": _APT_MIRROR,
        "add_apt_repo_match": TEXT,
        "debconf_selections": Keys(more=TEXT),
        "sources_list": TEXT,
        "conf": TEXT,
        "https_proxy": TEXT,
        "http_proxy": TEXT,
        "proxy": TEXT,
        "ftp_proxy": TEXT,
        "sources": Keys(more=_APT_SOURCE),
    }
)
_FILE = Keys(
    {
        "path": TEXT,
        "content": TEXT,
        "source": Keys({"uri": TEXT, "headers": Keys(more=TEXT)}, needs=("uri",)),
        "owner": TEXT,
        "permissions": TEXT,
        "encoding": Word(("gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64", "b64", "base64", "text/plain")),
        "append": FLAG,
        "defer": FLAG,
    },
    needs=("path",),
)
_SIZE = either(TEXT, WHOLE)

KEYS: dict[str, Type] = {
    # accounts and entrance
    "user": either(TEXT, _USER),
    "users": either(ListOf(either(TEXT, TEXTS, _USER)), TEXT, Keys(more=ANY)),
    "groups": either(ListOf(either(TEXT, Keys(more=either(TEXT, TEXTS)))), TEXT, Keys(more=either(TEXTS, TEXT, NOTHING))),
    "password": TEXT,
    "chpasswd": Keys(
        {
            "expire": FLAG,
            "users": ListOf(Keys({"name": TEXT, "password": TEXT, "type": Word(("hash", "text", "RANDOM"))}, needs=("name",))),
            "list": either(TEXT, TEXTS),
        }
    ),
    "ssh_pwauth": either(FLAG, Word(("unchanged",)), TEXT),
    "ssh_authorized_keys": TEXTS,
    "ssh_import_id": TEXTS,
    "ssh_keys": Keys(more=TEXT),
    "ssh_deletekeys": FLAG,
    "ssh_genkeytypes": ListOf(Word(("rsa", "ecdsa", "ed25519", "dsa"))),
    "ssh_quiet_keygen": FLAG,
    "ssh_publish_hostkeys": Keys({"enabled": FLAG, "blacklist": TEXTS}),
    "ssh": Keys({"emit_keys_to_console": FLAG}, needs=("emit_keys_to_console",)),
    "ssh_key_console_blacklist": TEXTS,
    "ssh_fp_console_blacklist": TEXTS,
    "no_ssh_fingerprints": FLAG,
    "authkey_hash": TEXT,
    "allow_public_ssh_keys": FLAG,
    "disable_root": FLAG,
    "disable_root_opts": TEXT,
    # names
    "hostname": TEXT,
    "fqdn": TEXT,
    "prefer_fqdn_over_hostname": FLAG,
    "preserve_hostname": FLAG,
    "create_hostname_file": FLAG,
    "manage_etc_hosts": either(FLAG, Word(("template", "localhost"))),
    "manage_resolv_conf": FLAG,
    "resolv_conf": Keys(
        {"nameservers": TEXTS, "searchdomains": TEXTS, "domain": TEXT, "sortlist": TEXTS, "options": Keys(more=either(LOOSE, WHOLE))}
    ),
    # time and language
    "timezone": TEXT,
    "locale": either(FLAG, TEXT),
    "locale_configfile": TEXT,
    "keyboard": Keys({"layout": TEXT, "model": TEXT, "variant": TEXT, "options": TEXT}, needs=("layout",)),
    "ntp": either(
        Keys(
            {
                "pools": TEXTS,
                "servers": TEXTS,
                "peers": TEXTS,
                "allow": TEXTS,
                "ntp_client": TEXT,
                "enabled": FLAG,
                "config": Keys({"confpath": TEXT, "check_exe": TEXT, "packages": TEXTS, "service_name": TEXT, "template": TEXT}),
            }
        ),
        NOTHING,
    ),
    # packages
    "package_update": FLAG,
    "package_upgrade": FLAG,
    "package_reboot_if_required": FLAG,
    "packages": ListOf(either(TEXT, TEXTS, Keys({"apt": ListOf(either(TEXT, TEXTS)), "snap": ListOf(either(TEXT, TEXTS))}))),
    "apt": _APT,
    "apt_pipelining": either(FLAG, WHOLE, Word(("none", "unchanged", "os"))),
    "apk_repos": Keys(more=ANY),
    "yum_repo_dir": TEXT,
    "yum_repos": Keys(more=Keys(more=ANY)),
    "zypper": Keys({"repos": ListOf(Keys(more=ANY)), "config": Keys(more=ANY)}),
    "snap": Keys({"assertions": either(TEXTS, Keys(more=TEXT)), "commands": _COMMANDS_OR_MAP}),
    # disks
    "bootcmd": _COMMANDS,
    "growpart": Keys(
        {"mode": either(FLAG, Word(("auto", "growpart", "gpart", "off"))), "devices": TEXTS, "ignore_growroot_disabled": FLAG}
    ),
    "resize_rootfs": either(FLAG, Word(("noblock",))),
    "disk_setup": Keys(
        more=Keys(
            {
                "table_type": Word(("mbr", "gpt")),
                "layout": either(FLAG, Word(("remove", "auto")), ListOf(either(WHOLE, ListOf(WHOLE)))),
                "overwrite": FLAG,
            }
        )
    ),
    "device_aliases": Keys(more=TEXT),
    "fs_setup": ListOf(
        Keys(
            {
                "label": either(TEXT, NOTHING),
                "filesystem": TEXT,
                "device": TEXT,
                "partition": either(TEXT, WHOLE),
                "overwrite": FLAG,
                "replace_fs": TEXT,
                "extra_opts": _TEXT_OR_TEXTS,
                "cmd": _TEXT_OR_TEXTS,
            },
            needs=("filesystem",),
        )
    ),
    "mounts": ListOf(ListOf(either(LOOSE, NOTHING), "a list of texts")),
    "mount_default_fields": ListOf(either(LOOSE, NOTHING)),
    "swap": Keys({"filename": TEXT, "size": _SIZE, "maxsize": _SIZE}),
    # files and programs
    "write_files": ListOf(_FILE),
    "runcmd": _COMMANDS,
    "random_seed": Keys(
        {
            "file": TEXT,
            "data": TEXT,
            "encoding": Word(("raw", "base64", "b64", "gzip", "gz")),
            "command": TEXTS,
            "command_required": FLAG,
        }
    ),
    "ca_certs": Keys({"remove_defaults": FLAG, "trusted": TEXTS}),
    "wireguard": Keys(
        {
            "interfaces": ListOf(Keys({"name": TEXT, "config_path": TEXT, "content": TEXT}, needs=("name", "config_path", "content"))),
            "readinessprobe": TEXTS,
        }
    ),
    "rsyslog": Keys(
        {
            "config_dir": TEXT,
            "config_filename": TEXT,
            "configs": ListOf(either(TEXT, Keys({"filename": TEXT, "content": TEXT}, needs=("content",)))),
            "remotes": Keys(more=either(TEXT, NOTHING)),
            "service_reload_command": either(Word(("auto",)), TEXTS),
            "install_rsyslog": FLAG,
            "check_exe": TEXT,
            "packages": TEXTS,
        }
    ),
    # the end of a boot
    "final_message": TEXT,
    "phone_home": Keys(
        {
            "url": TEXT,
            "post": either(
                Word(("all",)),
                ListOf(Word(("pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"))),
            ),
            "tries": WHOLE,
        },
        needs=("url",),
    ),
    "power_state": Keys(
        {
            "delay": either(WHOLE, TEXT),
            "mode": Word(("poweroff", "reboot", "halt")),
            "message": TEXT,
            "timeout": NUMBER,
            "condition": either(TEXT, FLAG, TEXTS),
        },
        needs=("mode",),
    ),
    # cloud-init itself
    "output": Keys(more=either(TEXT, TEXTS, Keys({"output": TEXT, "error": TEXT}))),
    "merge_how": either(TEXT, ListOf(Keys({"name": TEXT, "settings": TEXTS}))),
    "merge_type": either(TEXT, ListOf(Keys({"name": TEXT, "settings": TEXTS}))),
    "vendor_data": Keys({"enabled": either(FLAG, TEXT), "prefix": either(TEXT, ListOf(either(TEXT, WHOLE)))}),
    "updates": Keys({"network": Keys({"when": ListOf(Word(("boot-new-instance", "boot-legacy", "boot", "hotplug")))}, needs=("when",))}),
    "cloud_init_modules": ListOf(either(TEXT, ListOf(ANY), Keys(more=ANY))),
    "cloud_config_modules": ListOf(either(TEXT, ListOf(ANY), Keys(more=ANY))),
    "cloud_final_modules": ListOf(either(TEXT, ListOf(ANY), Keys(more=ANY))),
    "unverified_modules": TEXTS,
    "datasource_list": TEXTS,
    "datasource": Keys(more=ANY),
    "syslog_fix_perms": either(TEXT, TEXTS),
    "manual_cache_clean": FLAG,
    "disable_ec2_metadata": FLAG,
    "launch-index": WHOLE,
    "byobu_by_default": Word(
        ("enable-system", "enable-user", "disable-system", "disable-user", "enable", "disable", "user", "system"),
    ),
    "reporting": Keys(more=ANY),
    "system_info": Keys(more=ANY),
    "version": Word(("v1",)),
    # of single vendors and products
    "ansible": _VENDOR,
    "autoinstall": _VENDOR,
    "chef": _VENDOR,
    "debug": _VENDOR,
    "drivers": _VENDOR,
    "fan": _VENDOR,
    "grub_dpkg": _VENDOR,
    "landscape": _VENDOR,
    "lxd": _VENDOR,
    "mcollective": _VENDOR,
    "puppet": _VENDOR,
    "raspberry_pi": _VENDOR,
    "rh_subscription": _VENDOR,
    "rpi": _VENDOR,
    "salt_minion": _VENDOR,
    "spacewalk": _VENDOR,
    "ubuntu_advantage": _VENDOR,
    "ubuntu_pro": _VENDOR,
    # old names, which DEPRECATED tells the new ones of
    "apt_update": FLAG,
    "apt_upgrade": FLAG,
    "apt_reboot_if_required": FLAG,
    "apt_sources": ANY,
    "apt_mirror": TEXT,
    "apt_proxy": TEXT,
    "apt_preserve_sources_list": FLAG,
    "ca-certs": Keys({"remove-defaults": FLAG, "remove_defaults": FLAG, "trusted": TEXTS}),
    "migrate": FLAG,
    "network": ANY,
}
# Keys that still work, or never did here, and what to write instead.
DEPRECATED: dict[str, str] = {
    "apt_update": "write package_update.",
    "apt_upgrade": "write package_upgrade.",
    "apt_reboot_if_required": "write package_reboot_if_required.",
    "apt_sources": "write apt with sources in it.",
    "apt_mirror": "write apt with primary in it.",
    "apt_proxy": "write apt with proxy in it.",
    "apt_preserve_sources_list": "write apt with preserve_sources_list in it.",
    "ca-certs": "write ca_certs.",
    "migrate": "it does nothing any more.",
    "network": "cloud-init takes the network from the metadata, and passes it over in user data.",
}
