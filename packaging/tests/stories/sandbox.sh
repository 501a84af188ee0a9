# What each process cannot do, tried from inside its own unit, and what systemd thinks of it.
a_host_that_signs

security_is() { # UNIT TENTHS
    local score
    score=$(systemd-analyze security --no-pager "$1" | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "score $1 $score" >>/out/figures
    systemd-analyze security --no-pager --threshold="$2" "$1"
}
it the_daemon_is_exposed_to_no_more_than_0.4 security_is sealwrightd.service 4
for kind in pkcs11 tpm2 piv; do
    it "the_${kind}_driver_is_exposed_to_no_more_than_0.6" security_is "sealwright-driver-$kind@hsm.service" 6
done
it the_courier_is_exposed_to_no_more_than_its_network_costs security_is sealwright-courier.service 14
it the_witness_is_exposed_to_no_more_than_its_network_costs security_is sealwright-witness.service 14

# Puts the probe in the place of the unit's program, with everything else as it is, and prints what it was let do.
probe() { # UNIT
    mkdir -p "/run/systemd/system/$1.d"
    cat >"/run/systemd/system/$1.d/probe.conf" <<CONF
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/probe
BindReadOnlyPaths=/story/sandbox-probe:/usr/bin/probe
ExecPaths=/usr/bin/probe
Restart=no
CONF
    systemctl daemon-reload
    systemctl stop "$1"
    local since
    since=$(date +%s)
    systemctl start "$1"
    journalctl --no-pager --since "@$since" --unit "$1" --output cat >/tmp/probed
    rm -r "/run/systemd/system/$1.d"
    systemctl daemon-reload
    grep -qx done /tmp/probed || { cat /tmp/probed; return 1; }
    sed -n 's/\tallowed$//p' /tmp/probed
}
allows() { # UNIT WHAT…: that, and nothing else of everything that the probe tries
    local said
    said=$(probe "$1") || { echo "$said"; return 1; }
    is "$said" "$(printf '%s\n' "${@:2}")"
}
# A name of its own: two drivers of one name would take each other's socket.
sed 's|/hsm|/tpm|' /usr/share/doc/sealwright/examples/tpm2.toml >/etc/sealwright/tokens/tpm.toml
# The marks of logins, and SoftHSM's store.
it a_driver_that_was_taken_over_reaches_its_token_and_nothing_else allows sealwright-driver-pkcs11@hsm.service \
    'read /var/lib/sealwright-tokens' 'read /var/lib/softhsm/tokens'
it a_tpm_driver_that_was_taken_over_reaches_nothing_else allows sealwright-driver-tpm2@tpm.service \
    'read /var/lib/sealwright-tokens'
it a_daemon_that_was_taken_over_reaches_its_log_and_configuration_and_nothing_else allows sealwrightd.service \
    'read /etc/sealwright/sealwright.toml' 'read /etc/sealwright/tls/server.key' 'read /var/lib/sealwright' \
    'exec /usr/bin/sealwrightd'
it after_the_probes_the_host_signs_again sign_again
it the_drivers_own_pin_is_readable_for_nobody_else pin_is_private

# Every exception of the system-call filters has a user: without it the driver refuses its token.
needs() { # CALL
    local unit=sealwright-driver-pkcs11@hsm.service
    mkdir -p "/run/systemd/system/$unit.d"
    printf '[Service]\nSystemCallFilter=~%s\n' "$1" >"/run/systemd/system/$unit.d/zz-without.conf"
    systemctl daemon-reload
    systemctl stop "$unit"
    soon token_says 'landlock' || return
    rm -r "/run/systemd/system/$unit.d"
    systemctl daemon-reload
    systemctl stop "$unit"
    soon sealwright_is_ready
}
for call in $(sed -n 's/^SystemCallFilter=\([^~@]\)/\1/p' /lib/systemd/system/sealwright*.service | tr ' ' '\n' | sort -u); do
    it "the_exception_for_${call}_is_needed" needs "$call"
done
it no_unit_has_an_exception_without_a_comment exceptions_have_comments

# --- sockets -----------------------------------------------------------------------------------------------------
socket_is() { is "$(stat -c '%U:%G %a' "$1")" "$2"; }
connects() { setpriv --reuid "$1" --regid "$1" --init-groups perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new(Peer => $ARGV[0])' "$2"; }
it the_api_belongs_to_root_and_its_callers_group socket_is /run/sealwright/api.sock root:sealwright-clients\ 660
it monitoring_belongs_to_its_own_group socket_is /run/sealwright/monitor.sock root:sealwright-monitor\ 660
it a_drivers_socket_is_for_the_daemon_alone socket_is /run/sealwright/tokens/hsm.sock root:sealwright\ 660
useradd --system --user-group caller && usermod --append --groups sealwright-clients caller
useradd --system --user-group stranger
it a_member_of_the_callers_group_connects connects caller /run/sealwright/api.sock
it somebody_else_does_not_connect refused connects stranger /run/sealwright/api.sock
it a_caller_does_not_connect_to_a_driver refused connects caller /run/sealwright/tokens/hsm.sock
it a_caller_does_not_see_the_log refused setpriv --reuid caller --regid caller --init-groups ls /var/lib/sealwright

# --- the watchdog ------------------------------------------------------------------------------------------------
hangs() { # UNIT
    mkdir -p "/run/systemd/system/$1.d"
    printf '[Service]\nWatchdogSec=2s\nRestartSec=0\n' >"/run/systemd/system/$1.d/watchdog.conf"
    systemctl daemon-reload
    systemctl restart "$1"
    local pid
    pid=$(state "$1" MainPID)
    kill -STOP "$pid"
    soon ended "$pid"
}
ended() { [[ ! -d /proc/$1 ]]; }
it a_daemon_that_hangs_is_ended hangs sealwrightd.service
it and_started_anew soon sealwright_is_ready
it a_driver_that_hangs_is_ended hangs sealwright-driver-pkcs11@hsm.service
it and_the_next_request_has_another_one sign_again
