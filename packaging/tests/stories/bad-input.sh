# What is wrong is said where an operator looks, and loses nothing.
a_host_that_signs
before=$(records)

config=/etc/sealwright/sealwright.toml token=/etc/sealwright/tokens/hsm.toml driver=sealwright-driver-pkcs11@hsm
restarted_driver() { systemctl stop "$driver.service"; }

echo 'nonsense = 1' >/tmp/bad && cat "$config" >>/tmp/bad && cp "$config" /tmp/good && cat /tmp/bad >"$config"
it a_daemon_does_not_start_with_an_unknown_key refused systemctl restart sealwrightd.service
it and_names_it journal_says sealwrightd.service nonsense
it checking_the_configuration_says_the_same says nonsense sealwrightd --check-config
cat /tmp/good >"$config"
it with_the_line_gone_it_signs_again sign_again

echo 'permit (principal' >>/etc/sealwright/policy.cedar
systemctl reload sealwrightd.service
it a_broken_policy_is_not_taken_at_a_reload soon journal_says sealwrightd.service 'the policy stays as it was'
it and_the_daemon_signs_on_with_the_old_one sign_and_verify
sed -i '$d' /etc/sealwright/policy.cedar

it a_second_daemon_on_the_same_log_is_refused says 'another sealwrightd is running' \
    setpriv --reuid sealwright --regid sealwright --init-groups sealwrightd
it and_the_first_one_signs_on sign_and_verify
it root_does_not_run_the_daemon says 'does not run as root' sealwrightd

# --- credentials -----------------------------------------------------------------------------------------------------
mv /etc/credstore.encrypted/sealwright-hsm.pin /root/
restarted_driver
it a_token_without_its_pin_says_how_to_give_it soon token_says 'sealwright token set-pin'
it asking_for_a_signature_meanwhile_says_that_the_token_is_out_of_service says token_unavailable sign_and_verify
mv /root/sealwright-hsm.pin /etc/credstore.encrypted/
restarted_driver
it with_the_pin_back_it_signs sign_again

cp "$token" /root/hsm.toml
sed -i '/^state_dir/a credential = "/var/lib/sealwright-tokens/hsm/pin"' "$token"
install -o sealwright-pkcs11 -g sealwright-pkcs11 -m 644 /dev/stdin /var/lib/sealwright-tokens/hsm/pin <<<1234567
restarted_driver
it a_pin_file_that_others_can_read_is_refused soon token_says 'lets others read it; chmod 0600'
chown root: /var/lib/sealwright-tokens/hsm/pin && chmod 600 /var/lib/sealwright-tokens/hsm/pin
restarted_driver
it a_pin_file_of_another_owner_is_refused soon token_says 'Permission denied'
it a_pin_is_not_set_where_the_driver_would_read_another says 'take the line out first' sealwright token set-pin hsm --stdin <<<1
rm /var/lib/sealwright-tokens/hsm/pin
cat /root/hsm.toml >"$token"
restarted_driver
it with_the_credential_of_the_unit_it_signs sign_again

it an_empty_pin_is_refused says 'the PIN is empty' sealwright token set-pin hsm --stdin </dev/null
it a_token_that_is_not_configured_gets_no_pin says 'nosuch.toml' sealwright token set-pin nosuch --stdin <<<1

# --- units -----------------------------------------------------------------------------------------------------------
it a_driver_without_a_configuration_does_not_listen refused systemctl start sealwright-driver-pkcs11@nosuch.socket
it and_systemd_says_which_file_is_missing journal_says sealwright-driver-pkcs11@nosuch.socket tokens/nosuch.toml

sed 's|tokens/hsm|tokens/api|' /etc/sealwright/tokens/hsm.toml >/etc/sealwright/tokens/api.toml
systemctl start sealwright-driver-pkcs11@api.socket
it a_token_called_like_another_socket_takes_nobodys_place sign_and_verify
systemctl stop sealwright-driver-pkcs11@api.socket
rm /etc/sealwright/tokens/api.toml

install -d -o sealwright /tmp/taken && mkdir /tmp/taken/api.sock
sed 's|/run/sealwright|/tmp/taken|' "$config" >/etc/sealwright/other.toml
systemctl stop sealwrightd.service sealwrightd.socket sealwrightd-monitor.socket
it a_socket_path_that_is_taken_is_named says '/tmp/taken/api.sock' \
    setpriv --reuid sealwright --regid sealwright --init-groups sealwrightd --config /etc/sealwright/other.toml
rm /etc/sealwright/other.toml
systemctl start sealwrightd.socket sealwrightd-monitor.socket
it the_installed_one_starts_again sign_again

systemctl stop "$driver.socket" "$driver.service"
systemctl mask --runtime "$driver.socket" "$driver.service"
it a_masked_driver_takes_its_token_out_of_service soon token_says 'tokens/hsm.sock'
it the_daemon_itself_stays says ok curl_monitor /livez
systemctl unmask --runtime "$driver.socket" "$driver.service"
systemctl start "$driver.socket"
it unmasked_it_serves_again sign_again

cp /usr/share/doc/sealwright/examples/tpm2.toml /etc/sealwright/tokens/tpm.toml
openssl rand -hex 32 | sealwright token set-pin tpm --stdin >/dev/null
systemctl start sealwright-driver-tpm2@tpm.socket
systemctl restart sealwrightd.service
it a_driver_without_its_device_names_it soon token_says /dev/tpmrm0
it other_tokens_sign_on sign_and_verify

it no_record_was_lost_over_all_that test "$(records)" -gt "$before"
it the_log_is_sound says 'sound' log_is_sound
