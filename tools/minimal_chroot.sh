#!/usr/bin/env bash
# Check that Python, git and make are enough: run the README's commands as an unprivileged user of a minimal Debian.
#
#     sudo tools/minimal_chroot.sh [--keep DIR] [COMMAND]
#
# Clones the last commit of this repository into a fresh Debian (debootstrap minbase) and runs COMMAND there (default:
# `make test`).  Needs root and debootstrap.  --keep DIR uses that directory and keeps it for the next time.
set -euo pipefail

suite=bookworm
root=
keep=
if [ "${1:-}" = --keep ]; then
    keep=yes root=$2
    shift 2
fi
command=${*:-make test}
repo=$(cd "$(dirname "$0")/.." && pwd)

# Use a separate mount namespace, so that no mount is ever left behind.
if [ -z "${EVENTLAB_CHROOT_MOUNTS:-}" ]; then
    EVENTLAB_CHROOT_MOUNTS=own exec unshare --mount --propagation private "$0" ${keep:+--keep "$root"} "$command"
fi

root=${root:-$(mktemp -d "${TMPDIR:-/tmp}/minimal-XXXXXX")}
tidy() {
    umount --recursive --lazy "$root/proc" "$root/dev" 2>/dev/null || true
    [ -n "$keep" ] || rm -rf --one-file-system "$root"
}
trap tidy EXIT

chmod 755 "$root"  # mktemp creates it with mode 0700, so only root could access / in there
if [ ! -e "$root/etc/debian_version" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)
    echo "A minimal Debian $suite …"
    debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates "$suite" "$root" "$mirror" >/dev/null
fi
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
grep -q learner "$root/etc/passwd" || chroot "$root" useradd --create-home --shell /bin/bash learner

home=$root/home/learner
git -C "$repo" bundle create --quiet "$home/eventlab.bundle" HEAD
chmod 644 "$home/eventlab.bundle"

# Pass on only the variables with which this machine reaches the package index.
reach=()
while IFS= read -r name; do
    reach+=("$name=${!name}")
done < <(compgen -e | grep -iE '^(https?_proxy|no_proxy|all_proxy|pip_(index_url|extra_index_url|cert|trusted_host|default_timeout)|ssl_cert_file|requests_ca_bundle)$' || true)
if index=$(python3 -m pip config get global.index-url 2>/dev/null); then
    reach+=("PIP_INDEX_URL=$index")
fi

echo "As an unprivileged user: $command"
chroot "$root" /usr/bin/env -i HOME=/home/learner USER=learner LANG=C.UTF-8 PATH=/usr/bin:/bin "${reach[@]}" \
    setpriv --reuid=learner --regid=learner --init-groups /bin/bash -c "
        set -e
        cd
        rm -rf eventlab
        git clone --quiet --config advice.detachedHead=false eventlab.bundle eventlab
        cd eventlab
        $command" </dev/null
