# In the place of a unit's program: tries what whoever takes that process over would try. One line for each: `denied`, or in
# capitals what should not have been. Numbers are system calls of x86-64.
use strict;
use warnings;
use Socket;
$| = 1;

my ($state) = split /:/, ($ENV{STATE_DIRECTORY} // '');

sub tries {
    my ($what, @ways) = @_;
    for my $way (@ways) {
        if ($way->()) { print "ALLOWED $what\n"; return }
    }
    print "denied $what\n";
}
sub call { syscall(@_) >= 0 }
sub reads { my ($path) = @_; sub { open(my $file, '<', $path) || opendir(my $dir, $path) } }
sub writes { my ($path) = @_; sub { open(my $file, '>>', $path) } }
sub runs { my ($path) = @_; sub {
    my $pid = fork // return 0;
    if (!$pid) { exec {$path} $path; exit 77 }
    waitpid $pid, 0;
    ($? >> 8) != 77;
} }

tries 'a_network_socket', sub { socket(my $s, AF_INET, SOCK_STREAM, 0) }, sub { socket(my $s, AF_INET6, SOCK_DGRAM, 0) };
tries 'a_netlink_socket', sub { socket(my $s, 16, SOCK_RAW, 0) };
tries 'another_program', runs('/usr/bin/id'), runs('/bin/sh'), runs('/usr/lib/systemd/systemd');
my $own = "$state/program";
tries 'a_program_of_its_own', sub {
    open(my $file, '>', $own) or die "FAILED writing $own: $!\n";
    print $file "#!/usr/bin/perl\nexit 0;\n";
    close $file;
    chmod 0700, $own;
    my $ran = runs($own)->();
    unlink $own;
    $ran;
};
tries 'other_files_of_the_host', map { reads($_) } qw(/etc/shadow /etc/ssh /root /home /var/log /var/lib/dpkg /boot /tmp/probed);
tries 'other_folders_of_sealwright', map { reads($_) } grep { index($_, $state) && index($state, $_) }
    qw(/var/lib/sealwright /var/lib/sealwright-tokens/hsm /var/lib/sealwright-witness /etc/credstore.encrypted /etc/sealwright/tls/ca.key);
tries 'writing_beside_its_state', map { writes($_) } qw(/etc/passwd /new /usr/lib/new /run/sealwright/new /etc/sealwright/tokens/hsm.toml);
tries 'a_device', map { reads($_) } qw(/dev/mem /dev/kmsg /dev/vda /dev/sda /dev/tpm0 /dev/tpmrm0 /dev/hidraw0 /dev/uhid /dev/fuse);
tries 'making_a_device', sub { call(133, "$state/device", 0020666, (1 << 8) | 1) };
tries 'tracing_a_process', sub { call(101, 0, 0, 0, 0) }, sub { call(101, 16, getppid(), 0, 0) }, sub { call(310, getppid(), 0, 0, 0, 0, 0) };
tries 'memory_that_is_written_and_run', sub { call(9, 0, 4096, 7, 0x22, -1, 0) };
tries 'a_namespace', sub { call(272, 0x10000000) }, sub { call(272, 0x00020000) };
tries 'a_mount', sub { my ($a, $b, $c) = ('none', '/tmp', 'tmpfs'); call(165, $a, $b, $c, 0, 0) };
tries 'a_kernel_program', sub { my $attributes = "\0" x 64; call(321, 0, $attributes, 64) };
tries 'root', sub { call(105, 0) }, sub { call(106, 0) };
tries 'the_kernels_keyrings', sub { call(250, 0, -3, 0) };
tries 'other_processes', sub { opendir(my $proc, '/proc') or return 0; grep { /^\d+$/ && $_ != $$ } readdir $proc },
    sub { kill(0, 1) };

my $works = open(my $file, '>', "$state/probe") && unlink("$state/probe") && socket(my $s, AF_UNIX, SOCK_STREAM, 0);
print $works ? "allowed its_state_folder_and_unix_sockets\n" : "FAILED its_state_folder_and_unix_sockets: $!\n";
