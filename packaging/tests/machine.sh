# What stories are told with.
failures=0
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# it SENTENCE COMMAND…: a test. It passes if the command does; what the command said is kept where it does not.
it() {
    local said
    if said=$("${@:2}" 2>&1); then
        echo "test $1 ... ok" >>/out/results
    else
        echo "test $1 ... FAILED" >>/out/results
        printf '%s\n' "$said" | tail -n 25 | sed 's/^/    /' >>/out/results
        failures=$((failures + 1))
    fi
}
refused() { ! "$@"; }
# says TEXT COMMAND…: the command, whether it succeeds or not, says so.
says() {
    local said
    said=$("${@:2}" 2>&1) || true
    [[ $said == *"$1"* ]] || { printf '%s\n' "$said"; return 1; }
}
# soon COMMAND…: within twenty seconds. For what systemd or the daemon does by itself.
soon() {
    local try
    for try in {1..200}; do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    "$@"
}
journal_says() { journalctl --no-pager --boot --unit "$1" | grep -qF -- "$2" || { journalctl --no-pager --boot --unit "$1" | tail -n 15; return 1; }; }
state() { systemctl show --property "$2" --value "$1"; }
is() { [[ $1 == "$2" ]] || { echo "is $1, not $2"; return 1; }; }
no_unit_failed() {
    local failed
    failed=$(systemctl list-units --failed --plain --no-legend 'sealwright*')
    [[ -z $failed ]] || { echo "$failed"; return 1; }
}
as() { # operator|ci
    export SEALWRIGHT_CA=/etc/sealwright/tls/ca.pem
    export SEALWRIGHT_CERT=/etc/sealwright/tls/$1.pem SEALWRIGHT_KEY=/etc/sealwright/tls/$1.key
}
install_package() { dpkg --install "$1"; }

# A SoftHSM token that belongs to the driver's user, and its configuration.
make_token() { # NAME PIN
    local serial
    softhsm2-util --init-token --free --label "$1" --pin "$2" --so-pin 87654321
    chown -R sealwright-pkcs11:sealwright-pkcs11 /var/lib/softhsm/tokens
    # Debian's SoftHSM lets its own group in.
    usermod --append --groups softhsm sealwright-pkcs11
    serial=$(softhsm2-util --show-slots | awk -v label="$1" '/Serial number:/ { serial = $3 } /Label:/ && $2 == label { print serial }')
    sed -e "s|^label = .*|label = \"$1\"|" -e "s|^serial = .*|serial = \"$serial\"|" \
        -e "s|tokens/hsm.sock|tokens/$1.sock|" -e "s|tokens/hsm|tokens/$1|" \
        /usr/share/doc/sealwright/examples/pkcs11.toml >"/etc/sealwright/tokens/$1.toml"
}
make_log() {
    sealwright init --origin log.example.com/sealwright --log-token hsm --log-key pkcs11:object=log --generate-log-key \
        --daemon-user "$(id -u sealwright):$(id -g sealwright)" \
        --operator spiffe://example.com/operator --client spiffe://example.com/ci --with-ca --yes
}
start_all() {
    systemctl enable --now sealwright-driver-pkcs11@hsm.socket &&
        systemctl start sealwrightd.socket sealwrightd-monitor.socket sealwrightd.service
}
make_key() {
    as operator
    sealwright keys generate release --token hsm --uri pkcs11:object=release --scheme ecdsa-p256-sha256 --enrol --yes
    sealwright keys show release --pem >/root/release.pub.pem
}
sign_and_verify() {
    as ci
    sealwright sign --key release --type cyclonedx --predicate /usr/share/doc/sealwright/sealwright.cdx.json \
        /usr/bin/sealwrightd -o /root/out.sigstore.json || return
    sealwright verify /root/out.sigstore.json --key /root/release.pub.pem --artifact /usr/bin/sealwrightd
}
# A host as the first story leaves it. What fails here fails the tests that follow.
a_host_that_signs() {
    install_package /story/this.deb
    make_token hsm 1234567
    set_pin && make_log && start_all && soon sealwright_is_ready && make_key
}
token_says() { as operator; sealwright --json status | jq -r '.tokens[] | "\(.name): \(.reason)"' | grep -qF -- "$1" || { sealwright status; return 1; }; }
records() { as operator; sealwright --json audit log | jq '.records | length'; }
set_pin() {
    sealwright token set-pin hsm --stdin <<<1234567 || return
    local file=/etc/credstore.encrypted/sealwright-hsm.pin
    is "$(stat -c '%a %U' "$file")" '600 root' && refused grep -q 1234567 "$file"
}
sealwright_is_ready() { as operator; [[ $(sealwright --json status | jq -r '.tokens[0].state') == ready ]]; }
units_are_understood() {
    local said unit units=()
    for unit in /lib/systemd/system/sealwright*.{service,socket,timer}; do
        unit=${unit##*/}
        units+=("${unit/@./@hsm.}")
    done
    said=$(systemd-analyze --man=no verify "${units[@]}" 2>&1)
    [[ -z $said ]] || { echo "$said"; return 1; }
}
sign_again() { systemctl start sealwrightd.service && soon sealwright_is_ready && sign_and_verify; }
pin_is_private() {
    local folder=/run/credentials/sealwright-driver-pkcs11@hsm.service
    [[ -f $folder/pin ]] || { ls -l /run/credentials; return 1; }
    setpriv --reuid sealwright-pkcs11 --regid sealwright-pkcs11 --clear-groups cat "$folder/pin" >/dev/null || return
    refused setpriv --reuid sealwright --regid sealwright --clear-groups cat "$folder/pin"
}
exceptions_have_comments() {
    ! awk '/^SystemCallFilter=[^~@]/ && last !~ /^#/ { print FILENAME ": " $0; found = 1 } { last = $0 } END { exit !found }' \
        /lib/systemd/system/sealwright*.service
}
curl_monitor() { # PATH
    perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => "/run/sealwright/monitor.sock") or die; print $s "GET $ARGV[0] HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"; print <$s>' "$1"
}
log_is_sound() { setpriv --reuid sealwright --regid sealwright --init-groups sealwrightd fsck; }
