# shellcheck shell=sh
# What the scripts of both packages do on a host; build.sh puts these functions at the head of each script.

config=/etc/hypercloud-etcd/config.toml
unit=hypercloud-etcd.service

say() { echo "hypercloud-etcd: $*"; }

# Whether systemd runs: not in a chroot, nor where an image is made.
systemd_runs() { [ -d /run/systemd/system ]; }

# Whether this is a control-plane node as kubeadm makes it, with an etcd of its own or without.
is_control_plane() {
    [ -e /etc/kubernetes/manifests/etcd.yaml ] || [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]
}

# The directory of the backups, as the program reads the configuration.
backup_dir() { hypercloud-etcd generate backup-dir 2>/dev/null || echo /mnt/backup; }

# At the first install, whether or not the daemon can start by now: to a unit that was started before, a directory
# that comes later stays read-only. An existing one keeps its owner and its mode, whatever they are.
make_backup_dir() {
    dir=$(backup_dir)
    if [ ! -e "$dir" ] && [ ! -L "$dir" ]; then
        install -d -m 0700 -- "$dir" && say "made $dir (root, mode 700); mount a disk there to keep the backups apart"
        return 0
    fi
    say "$dir exists and stays as it is ($(stat -L -c '%U:%G, mode %a' -- "$dir" 2>/dev/null))"
    case $(stat -L -c '%u %A' -- "$dir" 2>/dev/null) in
    '0 drwx'*) ;;
    *) say "WARNING: the daemon is root without capabilities, which may not write there: chown root:root $dir && chmod 700 $dir" ;;
    esac
}

# Succeeds where the daemon can do its work, and else says what is missing.
is_ready_to_start() {
    if ! hypercloud-etcd generate is-configured; then
        if ! is_control_plane; then
            say "not started: no kubeadm control plane here; once there is one: hypercloud-etcd init && hypercloud-etcd check && systemctl restart hypercloud-etcd (for another etcd write $config in place of init)"
            return 1
        fi
        if ! hypercloud-etcd init </dev/null; then
            say "not started: write $config, then: hypercloud-etcd check && systemctl restart hypercloud-etcd"
            return 1
        fi
    fi
    # etcd may be down for now: the daemon waits for it
    if ! report=$(hypercloud-etcd check --offline 2>&1); then
        echo "$report" >&2
        say "not started: mend what is FAILED above, then: hypercloud-etcd check && systemctl restart hypercloud-etcd"
        return 1
    fi
}

# start SYSTEMCTL: starts the unit by this command, and says what came of it.
start() {
    "$1" start "$unit" || true
    if systemctl is-active --quiet "$unit"; then
        say "started; the first backup is made when the schedule says, or now with: hypercloud-etcd backup"
    else
        say "it does not run; see: systemctl status hypercloud-etcd"
    fi
}

# restart SYSTEMCTL: the daemon finishes a backup that is nearly done, and makes up for another one. Where the new
# program refuses the configuration, the one that runs is worth more than a new one that ends at once.
restart() {
    if report=$(hypercloud-etcd daemon --check-config 2>&1); then
        "$1" restart "$unit" || say "the restart failed; see: systemctl status hypercloud-etcd"
    else
        echo "$report" >&2
        say "NOT RESTARTED: the new version refuses $config, so the old one goes on; mend it, then: systemctl restart hypercloud-etcd"
    fi
}

# take_over SYSTEMCTL: after an upgrade. What runs is restarted; what is meant to run and has failed, or was never
# started, is started where that is of use by now; what somebody has stopped stays so.
take_over() {
    case $(systemctl show -p ActiveState --value "$unit") in
    active | activating | reloading)
        restart "$1"
        return 0
        ;;
    esac
    if ! systemctl is-enabled --quiet "$unit"; then return 0; fi
    if systemctl is-failed --quiet "$unit"; then
        say "it has failed before this upgrade"
    elif [ "$(systemctl show -p ExecMainStartTimestampMonotonic --value "$unit")" != 0 ]; then
        say "not started, for it was stopped; start it with: systemctl start hypercloud-etcd"
        return 0
    fi
    if is_ready_to_start; then
        # or too many failures keep it from being started
        { systemctl reset-failed "$unit" || true; } 2>/dev/null
        start "$1"
    fi
}

# tell_what_stays DIRECTORY: where everything is that no package ever removes.
tell_what_stays() {
    [ -n "$(ls -A -- "$1" 2>/dev/null)" ] || return 0
    say "the backups and the copies of the CA stay where they are: $1"
}
