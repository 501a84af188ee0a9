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

# Puts the probe in the place of the unit's program, with everything else as it is.
probe() { # UNIT
    mkdir -p "/run/systemd/system/$1.d"
    cat >"/run/systemd/system/$1.d/probe.conf" <<CONF
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/perl /story/probe.pl
BindReadOnlyPaths=/usr/bin/perl /story/probe.pl
ExecPaths=/usr/bin/perl
Restart=no
CONF
    systemctl daemon-reload
    systemctl stop "$1"
    systemctl start "$1"
    journalctl --no-pager --boot --unit "$1" --output cat | grep -E '^(denied|allowed|ALLOWED|FAILED) ' | sort -u >/tmp/probed
    rm -r "/run/systemd/system/$1.d"
    systemctl daemon-reload
    cat /tmp/probed
}
probed() { grep -qxF "$1" /tmp/probed || { cat /tmp/probed; return 1; }; }
nothing_was_allowed() { [[ -s /tmp/probed ]] && ! grep -E '^(ALLOWED|FAILED)' /tmp/probed; }
for unit in sealwright-driver-pkcs11@hsm.service sealwrightd.service; do
    name=driver
    [[ $unit == sealwrightd* ]] && name=daemon
    probe "$unit" >/dev/null 2>&1
    for what in a_network_socket a_netlink_socket another_program a_program_of_its_own other_files_of_the_host \
        other_folders_of_sealwright writing_beside_its_state a_device making_a_device tracing_a_process \
        memory_that_is_written_and_run a_namespace a_mount a_kernel_program root the_kernels_keyrings other_processes; do
        it "the_${name}_is_denied_$what" probed "denied $what"
    done
    it "the_${name}_has_its_state_folder_and_unix_sockets" probed "allowed its_state_folder_and_unix_sockets"
    it "nothing_that_the_${name}_should_be_denied_was_allowed" nothing_was_allowed
done
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
