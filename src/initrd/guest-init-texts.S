/* The texts of the first program, for every architecture: guest-init-x64.S and guest-init-aarch64.S include this file. */

devtmpfs:	.asciz	"devtmpfs"
dev:		.asciz	"/dev"
proc_type:	.asciz	"proc"
proc:		.asciz	"/proc"
sysfs:		.asciz	"sysfs"
sys:		.asciz	"/sys"
console:	.asciz	"/dev/console"
kmsg:		.asciz	"/dev/kmsg"
proc_cmdline:	.asciz	"/proc/cmdline"
start_file:	.asciz	"/.guest/start"

not_first:	.asciz	"init: this is the first program of a guest and does nothing as any other"
is_up:		.asciz	"guest is up: "
space:		.asciz	" "
on:		.asciz	" on "
comma:		.asciz	", "
cpu:		.asciz	" CPU"
plural:		.asciz	"s"
mib:		.asciz	" MiB of memory"
version:	.asciz	"kernel version: "
command_line:	.asciz	"command line: "
running:	.asciz	"running "
exited:		.asciz	" exited with code "
killed:		.asciz	" was ended by signal "

cannot:		.asciz	"init: cannot "
mount_dev:	.asciz	"mount /dev"
mount_proc:	.asciz	"mount /proc"
mount_sys:	.asciz	"mount /sys"
read_cmdline:	.asciz	"read /proc/cmdline"
read_start_file:	.asciz	"read /.guest/start"
use_network:	.asciz	"use the network"
start_process:	.asciz	"start a process"
wait_for_it:	.asciz	"wait for it"
stop_machine:	.asciz	"stop the machine"
load:		.asciz	"load "
mount_on:	.asciz	"mount a file system on "
make_link:	.asciz	"make the link "
enter:		.asciz	"enter "
change_user:	.asciz	"take on the user and groups of "
run:		.asciz	"run "
error_number:	.asciz	": error "
nothing:	.asciz	""
errors:
	.byte	1
	.asciz	" (not permitted)"
	.byte	2
	.asciz	" (no such file)"
	.byte	8
	.asciz	" (not a program for this processor)"
	.byte	13
	.asciz	" (permission denied)"
	.byte	19
	.asciz	" (this kernel has no such device or file system)"
	.byte	0
