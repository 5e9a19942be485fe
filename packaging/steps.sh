# shellcheck shell=sh
# What the scripts of both packages do on a host; build.sh puts these functions at the head of each script.

config=/etc/hypercloud-etcd/config.toml
unit=hypercloud-etcd.service

say() { echo "hypercloud-etcd: $*"; }

# Whether systemd runs: not in a chroot, nor where an image is made.
systemd_runs() { [ -d /run/systemd/system ]; }

# Whether the configuration says nothing, as the one that the package brings.
is_untouched() { ! grep -Eqv '^[[:space:]]*(#.*)?$' "$config" 2>/dev/null; }

# Whether this is a control-plane node as kubeadm makes it, with an etcd of its own or without.
is_control_plane() {
    [ -e /etc/kubernetes/manifests/etcd.yaml ] || [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]
}

# The directory of the backups, also where the program is gone already.
backup_dir() {
    set_dir=$(awk -F "[\"']" '
        /^ *\[/ { table = $0; next }
        table ~ /^ *\[ *backup *\]/ && /^[ \t]*dir *=/ { print $2; exit }
        table == "" && /^ *backup *\. *dir *=/ { print $2; exit }
    ' "$config" 2>/dev/null) || set_dir=
    echo "${set_dir:-/mnt/backup}"
}

# An existing directory keeps its owner and its mode, whatever they are.
make_backup_dir() {
    dir=$(backup_dir)
    if [ -e "$dir" ] || [ -L "$dir" ]; then
        say "$dir exists and stays as it is ($(stat -L -c '%U:%G, mode %a' "$dir" 2>/dev/null))"
    else
        install -d -m 0700 "$dir" && say "made $dir (root, mode 700); mount a disk there to keep the backups apart"
    fi
}

# At the first install: succeeds where the daemon can do its work, and else says what is missing.
is_ready_to_start() {
    if is_untouched; then
        if ! is_control_plane; then
            say "not started: no kubeadm control plane here; write $config, then: hypercloud-etcd check && systemctl restart hypercloud-etcd"
            return 1
        fi
        if ! hypercloud-etcd init </dev/null; then
            say "not started: write $config, then: hypercloud-etcd check && systemctl restart hypercloud-etcd"
            return 1
        fi
        make_backup_dir
    fi
    # etcd may be down for now: the daemon waits for it
    if ! report=$(hypercloud-etcd check --offline 2>&1); then
        echo "$report" >&2
        say "not started: mend what is FAILED above, then: hypercloud-etcd check && systemctl restart hypercloud-etcd"
        return 1
    fi
}

# After an upgrade: restarts what runs. It finishes a backup that is nearly done, and makes up for another one. Where
# the new program refuses the configuration, the one that runs is worth more than a new one that ends at once.
take_over() {
    if ! systemctl is-active --quiet "$unit"; then return 0; fi
    if report=$(hypercloud-etcd daemon --check-config 2>&1); then
        "$@" || say "the restart failed; see: systemctl status hypercloud-etcd"
    else
        echo "$report" >&2
        say "NOT RESTARTED: the new version refuses $config, so the old one goes on; mend it, then: systemctl restart hypercloud-etcd"
    fi
}

# Where everything is that no package ever removes.
tell_what_stays() {
    [ -d "$1" ] || return 0
    say "the backups and the copies of the CA stay where they are: $1"
}
