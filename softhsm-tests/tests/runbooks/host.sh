# A host for the runbooks: this machine with its /etc, /var/lib, /run and /srv covered, in a mount namespace of its own,
# and stand-ins for what only a booted system has. $HOME_DIR is the test's folder, $BINARIES that of the programs.
set -eEuo pipefail
exec 3>&1
for dir in etc var/lib run srv; do
    mkdir -p "$HOME_DIR/over/$dir/upper" "$HOME_DIR/over/$dir/work"
    mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$HOME_DIR/over/$dir/upper,workdir=$HOME_DIR/over/$dir/work" "/$dir"
done
mkdir "$HOME_DIR/bin" "$HOME_DIR/work"
cp "$BINARIES"/sealwright{,d,-run,-driver-pkcs11,-driver-tpm2} "$HOME_DIR/bin/"
export PATH=$HOME_DIR/bin:$PATH
trap 'kill $(cat "$HOME_DIR"/*.pid) 2>/dev/null || true' EXIT
cd "$HOME_DIR/work"

# --- the token, its PIN, and something to sign -------------------------------------------------------------
export SOFTHSM2_CONF=$HOME_DIR/softhsm2.conf MODULE=/usr/lib/softhsm/libsofthsm2.so LABEL=runbook
export PIN_FILE=$HOME_DIR/work/pin MODULE_WRITES=$HOME_DIR/tokens
mkdir "$HOME_DIR/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$HOME_DIR/tokens" >"$SOFTHSM2_CONF"
printf 1234567 >"$PIN_FILE"
softhsm2-util --init-token --free --label "$LABEL" --pin "$(<"$PIN_FILE")" --so-pin 7654321 >/dev/null
SERIAL=$(softhsm2-util --show-slots | awk '/Serial number:/ { serial = $3 } /Label: +runbook/ { print serial }')
export SERIAL
# The vendor's files belong to whoever installed the vendor's package; here any user may use them.
chmod -R a+rwX "$HOME_DIR/tokens"
umask 000
echo '{"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}' >sbom.cdx.json
echo artifact >artifact

# --- another token, with its maker's certificate -------------------------------------------------------------
mkdir "$HOME_DIR/tpm" "$HOME_DIR/maker"
printf 'statedir = %s\nsigningkey = %s\nissuercert = %s\ncertserial = %s\n' "$HOME_DIR/maker" \
    "$HOME_DIR/maker/key.pem" "$HOME_DIR/maker/cert.pem" "$HOME_DIR/maker/serial" >"$HOME_DIR/maker/ca.conf"
: >"$HOME_DIR/maker/options"
printf 'create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n' \
    "$HOME_DIR/maker/ca.conf" "$HOME_DIR/maker/options" >"$HOME_DIR/maker/setup.conf"
swtpm_setup --tpm2 --tpmstate "$HOME_DIR/tpm" --create-ek-cert --pcr-banks sha256 \
    --config "$HOME_DIR/maker/setup.conf" >"$HOME_DIR/swtpm.log" 2>&1
export MAKERS=$HOME_DIR/maker/cert.pem
swtpm socket --tpm2 --tpmstate "dir=$HOME_DIR/tpm" --flags not-need-init,startup-clear --daemon \
    --pid "file=$HOME_DIR/swtpm.pid" --server "type=tcp,port=$TPM_PORT,disconnect" \
    --ctrl "type=tcp,port=$((TPM_PORT + 1))"
export TCTI=swtpm:host=127.0.0.1,port=$TPM_PORT

# --- stand-ins -------------------------------------------------------------------------------------------
as_user() { # USER PROGRAM ARGS
    setsid setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}" >>"$HOME_DIR/$1.log" 2>&1 &
    echo $! >>"$HOME_DIR/$1.pid"
}
daemon_runs() { kill -0 "$(tail -1 "$HOME_DIR/sealwright.pid" 2>/dev/null)" 2>/dev/null; }
systemctl() {
    local verb=$1 unit
    for unit in "${@:2}"; do
        case $verb:$unit in
        start:sealwright-driver-tpm2@tpm.socket)
            setsid sealwright-run --socket /run/sealwright/tpm.sock --owner "0:$(id -g sealwright)" \
                --user "$(id -u sealwright-tpm):$(id -g sealwright-tpm)" --env TSS2_LOG=all+NONE -- \
                "$HOME_DIR/bin/sealwright-driver-tpm2" --config /etc/sealwright/tokens/tpm.toml \
                --peer-uid "$(id -u sealwright)" >>"$HOME_DIR/driver.log" 2>&1 &
            echo $! >"$HOME_DIR/tpm-driver.pid"
            ;;
        start:*.socket)
            [ -S /run/sealwright/hsm.sock ] && continue
            setsid sealwright-run --socket /run/sealwright/hsm.sock --owner "0:$(id -g sealwright)" \
                --user "$(id -u sealwright-hsm):$(id -g sealwright-hsm)" --env "SOFTHSM2_CONF=$SOFTHSM2_CONF" -- \
                "$HOME_DIR/bin/sealwright-driver-pkcs11" --config /etc/sealwright/tokens/hsm.toml \
                --peer-uid "$(id -u sealwright)" >>"$HOME_DIR/driver.log" 2>&1 &
            echo $! >"$HOME_DIR/driver.pid"
            ;;
        start:sealwrightd*)
            as_user sealwright sealwrightd
            for _ in {1..200}; do [ -S /run/sealwright/api.sock ] && break; sleep 0.05; done
            ;;
        stop:sealwrightd*)
            daemon_runs || continue
            kill "$(tail -1 "$HOME_DIR/sealwright.pid")"
            while daemon_runs; do sleep 0.05; done
            ;;
        stop:*.socket)
            # It takes its driver along.
            kill "$(<"$HOME_DIR/driver.pid")"
            while kill -0 "$(<"$HOME_DIR/driver.pid")" 2>/dev/null; do sleep 0.05; done
            rm -f /run/sealwright/hsm.sock
            ;;
        stop:sealwright-driver-*.service) ;;
        reload:sealwrightd*) kill -HUP "$(tail -1 "$HOME_DIR/sealwright.pid")" ;;
        *) echo "systemctl $verb $unit: no such unit" >&2; return 1 ;;
        esac
    done
}
journalctl() { cat "$HOME_DIR/sealwright.log"; }
systemd-run() { echo "$*"; }

# A person answers the one question that is asked.
sealwright() {
    if [ "$1" = init ]; then
        echo yes | script --quiet --return --command "$(printf '%q ' "$HOME_DIR/bin/sealwright" "$@")" /dev/null
    else
        command sealwright "$@"
    fi
}
as() { # operator|ci
    export SEALWRIGHT_CA=/etc/sealwright/tls/ca.pem
    export SEALWRIGHT_CERT=/etc/sealwright/tls/$1.pem SEALWRIGHT_KEY=/etc/sealwright/tls/$1.key
}
# What `generate` printed in the block before, as a person would carry it over.
carry_fingerprint() { FINGERPRINT=$(grep -oE '[0-9a-f]{64}' "$HOME_DIR/out" | head -1); }
begin() { echo "$1" >"$HOME_DIR/step"; }
failed() {
    trap - ERR
    echo "--- failed in: $(<"$HOME_DIR/step")" >&3
    cat "$HOME_DIR/out" >&3
    tail -n 5 "$HOME_DIR"/*.log >&3
}
trap failed ERR
