# The next version, the way back, the end of the way back, and the end.
a_host_that_signs
sign_and_verify >/dev/null 2>&1
before=$(records) pid=$(state sealwrightd.service MainPID)
keeps_records() { [[ $(records) -ge $before ]] || { echo "$before records, then $(records)"; return 1; }; }
is_installed() { is "$(dpkg-query -W -f '${Version}' sealwright)" "$1"; }
runs_anew() { soon sealwright_is_ready && [[ $(state sealwrightd.service MainPID) != "$pid" ]]; }

it the_next_version_is_installed_over_this_one install_package /story/next.deb
it and_runs runs_anew
it every_record_is_still_there keeps_records
it it_signs sign_and_verify
it it_asked_for_no_pin test -f /etc/credstore.encrypted/sealwright-hsm.pin
it nothing_has_failed no_unit_failed

old=$(dpkg-deb --field /story/this.deb Version)
it the_way_back_is_open install_package /story/this.deb
it to_the_version_before is_installed "$old"
it which_goes_on_with_the_log keeps_records
it and_signs sign_again

it an_upgrade_is_finalised says 'refuse this log from now on' sealwright finalize-upgrade
it by_name_of_this_version is "$(cat /var/lib/sealwright/min-version)" "$old"
it the_version_that_did_it_still_starts sign_again
it after_that_an_older_package_is_not_installed says "the log was finalised for $old or newer" dpkg --install /story/before.deb
it and_what_is_installed_stays is_installed "$old"
it and_signs_on sign_again
# What a later version will have written.
echo 99.0.0 >/var/lib/sealwright/min-version
it an_older_daemon_refuses_to_start refused systemctl restart sealwrightd.service
it by_name_and_with_what_to_do journal_says sealwrightd.service 'finalised for sealwrightd 99.0.0 or newer'
rm /var/lib/sealwright/min-version
it_runs() { systemctl reset-failed && sign_again; }
it without_the_mark_it_starts it_runs

it removing_stops_everything dpkg --remove sealwright
none_runs() { ! pgrep -l sealwright; }
it so_that_no_process_is_left none_runs
it and_keeps_log_configuration_and_pins test -d /var/lib/sealwright/journal -a -f /etc/sealwright/sealwright.toml -a -f /etc/credstore.encrypted/sealwright-hsm.pin
it purging_asks_nothing_and_says_what_it_left says 'left /var/lib/sealwright' dpkg --purge sealwright
it it_left_the_log test -d /var/lib/sealwright/journal
it and_no_pin test ! -e /etc/credstore.encrypted/sealwright-hsm.pin
no_link_is_left() { ! find /etc/systemd -name 'sealwright*' | grep .; }
it and_no_unit_that_was_enabled no_link_is_left
comes_back() { install_package /story/next.deb && set_pin && start_all && sign_again && keeps_records; }
it installed_again_it_goes_on_with_its_log comes_back
