# shellcheck shell=bash
# What camkeep needs from Debian, in one place; read by assets/try and tests/run, not started by itself.
# The comment above each list is the reason that a person is shown.
# shellcheck disable=SC2034  # the lists are used by whoever reads this file

# to build: a C compiler and the headers of GStreamer and of its RTSP server
packages_to_build=(build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev)
# to record and to play the demo cameras: GStreamer's parsers, muxers, RTSP and encoders
packages_to_run=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav)
# to test: ffmpeg, Chromium, curl, sqlite3 and openssl check what camkeep makes from outside; strace and faketime watch the
# daemon and set its clock; e2fsprogs and mount make disks; nodejs tests the page, shellcheck the scripts, nix-bin the flake
packages_to_test=(ffmpeg chromium curl sqlite3 openssl strace faketime gstreamer1.0-tools e2fsprogs mount nodejs shellcheck nix-bin)

say() { printf '%s\n' "$*" >&2; }

# Installs those of the named packages that are missing, and says so; without any missing it does nothing at all.
ensure_packages() {
    local reason=$1 package missing=() root=()
    shift
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian, so nothing is installed here. camkeep needs what these Debian packages hold: $*"
        return 0
    fi
    for package in "$@"; do
        # shellcheck disable=SC2016  # dpkg fills this in, not the shell
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "Missing $reason: ${missing[*]}"
            say "Neither root nor sudo is at hand. Let an administrator run: apt-get install ${missing[*]}"
            return 1
        fi
        root=(sudo)
        # Nobody is there to type a password: fail with a message instead of waiting for one.
        [ -t 0 ] || root+=(-n)
    fi
    say "Installing $reason: ${missing[*]}"
    root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    local output
    # What apt says is long and matters only when it fails.
    if ! output=$({ "${root[@]}" update && "${root[@]}" install --yes --no-install-recommends "${missing[@]}"; } 2>&1); then
        say "$output"
        say "apt-get could not install: ${missing[*]}"
        return 1
    fi
}

# Finds cargo, also where rustup puts it without the login shell knowing.
ensure_cargo() {
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        say "Rust is missing: install it from https://rustup.rs, then start this again."
        return 1
    fi
}

# Has every crate of Cargo.lock at hand; what is there already needs no network, and cargo is kept from asking again.
ensure_crates() {
    local target
    target=$(rustc -vV | sed -n 's/^host: //p')
    if ! cargo fetch --quiet --locked --offline --target "$target" 2>/dev/null; then
        say "Fetching the crates named in Cargo.lock"
        if ! cargo fetch --locked --target "$target" >&2; then
            say "The crates could not be fetched: is there a network? Once they are here, none is needed."
            return 1
        fi
    fi
    export CARGO_NET_OFFLINE=true
}
