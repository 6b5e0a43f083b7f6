// The first program of a guest: guest-init-x64.S for 64-bit Arm. The comment there describes what it does and how its bytes are used.
//
// To assemble, in this folder: aarch64-linux-gnu-as -o init.o guest-init-aarch64.S && aarch64-linux-gnu-objcopy -O binary -j .text init.o init

	.set	BASE, 0x400000			// the address of the program
	.set	ALIGNMENT, 0x10000		// pages have up to 64 KiB

// System calls (Linux include/uapi/asm-generic/unistd.h): number in x8, arguments in x0 to x5; result in x0, a negative error
// number after a failure. No other register changes.
	.set	DUP, 23
	.set	FCNTL, 25
	.set	IOCTL, 29
	.set	MKDIRAT, 34
	.set	SYMLINKAT, 36
	.set	MOUNT, 40
	.set	OPENAT, 56
	.set	CHDIR, 49
	.set	FCHOWN, 55
	.set	CLOSE, 57
	.set	READ, 63
	.set	WRITE, 64
	.set	SYNC, 81
	.set	EXIT, 93
	.set	SCHED_GETAFFINITY, 123
	.set	REBOOT, 142
	.set	SETGID, 144
	.set	SETUID, 146
	.set	SETSID, 157
	.set	SETGROUPS, 159
	.set	UNAME, 160
	.set	GETPID, 172
	.set	SYSINFO, 179
	.set	SOCKET, 198
	.set	CLONE, 220
	.set	EXECVE, 221
	.set	MMAP, 222
	.set	WAIT4, 260
	.set	FINIT_MODULE, 273

	.set	AT_FDCWD, -100
	.set	O_RDONLY, 0
	.set	O_WRONLY, 1
	.set	O_RDWR, 2
	.set	F_GETFD, 1
	.set	TCSBRK, 0x5409
	.set	SIGCHLD, 17
	.set	EINTR, 4
	.set	EBUSY, 16
	.set	EEXIST, 17
	.set	PROT_READ, 1
	.set	MAP_PRIVATE_FIXED, 0x12
	.set	AF_INET, 2
	.set	SOCK_DGRAM, 2
	.set	REBOOT_MAGIC1, 0xfee1dead
	.set	REBOOT_MAGIC2, 672274793
	.set	POWER_OFF, 0x4321fedc
	.set	RESTART, 0x01234567
	.set	HALT, 0xcdef0123

// Structures that the kernel fills (include/uapi/linux/utsname.h, sysinfo.h).
	.set	UTS_RELEASE, 130
	.set	UTS_VERSION, 195
	.set	UTS_MACHINE, 260
	.set	TOTAL_RAM, 32			// 8 bytes, in units of
	.set	MEM_UNIT, 104			// 4 bytes

// The stack: one buffer for what the kernel fills, and one for a line, so that each line is written at once.
	.set	SCRATCH_SIZE, 0x1000
	.set	LINE_SIZE, 0x2000
	.set	FRAME, SCRATCH_SIZE + LINE_SIZE
	.set	PROGRAM, SCRATCH_SIZE - 8	// in the buffer: the path of the running program, or 0

// /.guest/start in memory: its address, and its fields. Lists end with a zero.
	.set	START, 0x10000000
	.set	START_SIZE, 0x100000
	.set	START_MODULES, 0		// paths
	.set	START_MOUNTS, 8			// type, path, flags, data
	.set	START_LINKS, 16			// target, path
	.set	START_REQUESTS, 24		// number, structure, purpose
	.set	START_PROGRAM, 32
	.set	START_ARGUMENTS, 40
	.set	START_ENVIRONMENT, 48
	.set	START_FOLDER, 56
	.set	START_GROUP_COUNT, 64
	.set	START_GROUPS, 72
	.set	START_GROUP, 80
	.set	START_USER, 88

	.text
program:
	.byte	0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
	.short	2, 183				// an executable for AArch64
	.long	1
	.quad	BASE + start - program
	.quad	segments - program, 0
	.long	0
	.short	64, 56, 2, 0, 0, 0
segments:
	.long	1, 5				// PT_LOAD, readable and executable
	.quad	0, BASE, BASE, end - program, end - program, ALIGNMENT
	.long	0x6474e551, 6			// PT_GNU_STACK, readable and writable
	.quad	0, 0, 0, 0, 0, 16

	.macro	system number
	mov	x8, #\number
	svc	#0
	.endm

	.macro	long register, value
	movz	\register, #((\value) & 0xffff)
	movk	\register, #((\value) >> 16), lsl #16
	.endm

	.macro	text string
	adr	x0, \string
	bl	put
	.endm

	.macro	mounted type, directory, what
	adr	x0, \type
	adr	x1, \directory
	bl	mount
	adr	x1, \what
	tbz	x0, #63, 1f
	bl	fail
1:
	.endm

// x19: argc, arguments, 0, environment, 0 from the kernel; sp: scratch buffer; x20: start of the line; x21: its present end;
// x22: its last possible end, with room for one newline.
start:	mov	x19, sp
	sub	sp, sp, #FRAME
	add	x20, sp, #SCRATCH_SIZE
	mov	x21, x20
	add	x22, x20, #LINE_SIZE
	sub	x22, x22, #1
	mov	x29, #0
	system	GETPID
	cmp	x0, #1				// otherwise it would power off the machine of a user
	b.eq	first
	text	not_first
	bl	end_line
	mov	x0, #1
	system	EXIT

// The device nodes come first: without a console, nobody would see an error.
first:	adr	x0, devtmpfs
	adr	x1, dev
	bl	mount
	mov	x23, x0
	mov	x0, #1
	mov	x1, #F_GETFD
	system	FCNTL
	tbz	x0, #63, 2f
	adr	x1, console			// the initramfs had no /dev/console: open the one that exists now
	mov	x2, #O_RDWR
	bl	open
	tbz	x0, #63, 1f
	adr	x1, kmsg
	mov	x2, #O_WRONLY
	bl	open
1:	mov	x0, #0				// it is stdin, because it is the first; make it stdout and stderr, too
	system	DUP
	mov	x0, #0
	system	DUP
2:	mov	x0, x23
	tbz	x0, #63, 3f
	adr	x1, mount_dev
	bl	fail
3:	mounted	proc_type, proc, mount_proc
	mounted	sysfs, sys, mount_sys

// guest is up: Linux 6.1.0 on aarch64, 2 CPUs, 477 MiB of memory
	mov	x0, sp
	system	UNAME
	text	is_up
	mov	x0, sp
	bl	put
	text	space
	add	x0, sp, #UTS_RELEASE
	bl	put
	text	on
	add	x0, sp, #UTS_MACHINE
	bl	put
	mov	x0, #0
	mov	x1, #SCRATCH_SIZE/2
	add	x2, sp, #SCRATCH_SIZE/2		// the result of uname is needed again
	system	SCHED_GETAFFINITY
	cmp	x0, #0
	b.le	3f
	mov	x23, #0				// a bit for each CPU that it may run on
	add	x1, sp, #SCRATCH_SIZE/2
	add	x2, x1, x0
1:	ldrb	w3, [x1], #1
2:	cbz	w3, 4f
	sub	w4, w3, #1
	and	w3, w3, w4
	add	x23, x23, #1
	b	2b
4:	cmp	x1, x2
	b.lo	1b
	text	comma
	mov	x0, x23
	bl	put_number
	text	cpu
	cmp	x23, #1
	b.eq	3f
	text	plural
3:	add	x0, sp, #SCRATCH_SIZE/2
	system	SYSINFO
	tbnz	x0, #63, 5f
	text	comma
	ldr	w0, [sp, #SCRATCH_SIZE/2 + MEM_UNIT]
	ldr	x1, [sp, #SCRATCH_SIZE/2 + TOTAL_RAM]
	mul	x0, x0, x1
	lsr	x0, x0, #20
	bl	put_number
	text	mib
5:	bl	end_line
	text	version
	add	x0, sp, #UTS_VERSION
	bl	put
	bl	end_line

// command line: the content of /proc/cmdline, whose newline ends the line
	adr	x1, proc_cmdline
	mov	x2, #O_RDONLY
	bl	open
	tbz	x0, #63, 1f
	adr	x1, read_cmdline
	bl	fail
	b	read_start
1:	mov	x23, x0
	text	command_line
2:	mov	x0, x23
	mov	x1, x21
	subs	x2, x22, x21
	b.eq	3f
	system	READ
	cmp	x0, #0
	b.le	3f
	add	x21, x21, x0
	b	2b
3:	ldrb	w0, [x21, #-1]
	cmp	w0, #'\n'
	b.ne	4f
	sub	x21, x21, #1
4:	bl	end_line
	mov	x0, x23
	system	CLOSE

// x28: /.guest/start in memory.
read_start:
	str	xzr, [sp, #PROGRAM]
	adr	x1, start_file
	mov	x2, #O_RDONLY
	bl	open
	tbnz	x0, #63, program_to_run
	mov	x23, x0
	mov	x4, x0
	mov	x0, #START
	mov	x1, #START_SIZE
	mov	x2, #PROT_READ
	mov	x3, #MAP_PRIVATE_FIXED
	mov	x5, #0
	system	MMAP
	tbz	x0, #63, 1f
	adr	x1, read_start_file
	bl	fail
	b	power_off
1:	mov	x28, x0
	mov	x0, x23
	system	CLOSE
	ldr	x0, [x28, #START_PROGRAM]
	str	x0, [sp, #PROGRAM]

	ldr	x24, [x28, #START_MODULES]
1:	ldr	x1, [x24]
	cbz	x1, 4f
	mov	x2, #O_RDONLY
	bl	open
	tbnz	x0, #63, 2f
	mov	x23, x0
	adr	x1, nothing
	mov	x2, #0
	system	FINIT_MODULE
	mov	x25, x0
	mov	x0, x23
	system	CLOSE
	mov	x0, x25
	cmn	x0, #EEXIST
	b.eq	3f
2:	adr	x1, load
	ldr	x2, [x24]
	bl	report
3:	add	x24, x24, #8
	b	1b
4:	ldr	x24, [x28, #START_MOUNTS]
1:	ldr	x0, [x24]
	cbz	x0, 2f
	mov	x0, #AT_FDCWD
	ldr	x1, [x24, #8]
	mov	x2, #0755
	system	MKDIRAT
	ldp	x0, x1, [x24]
	mov	x2, x0
	ldp	x3, x4, [x24, #16]
	system	MOUNT
	adr	x1, mount_on
	ldr	x2, [x24, #8]
	bl	report
	add	x24, x24, #32
	b	1b
2:	ldr	x24, [x28, #START_LINKS]
1:	ldr	x0, [x24]
	cbz	x0, 3f
	mov	x1, #AT_FDCWD
	ldr	x2, [x24, #8]
	system	SYMLINKAT
	cmn	x0, #EEXIST
	b.eq	2f
	adr	x1, make_link
	ldr	x2, [x24, #8]
	bl	report
2:	add	x24, x24, #16
	b	1b
3:	mov	x0, #AF_INET
	mov	x1, #SOCK_DGRAM
	mov	x2, #0
	system	SOCKET
	mov	x23, x0
	tbz	x0, #63, 1f
	adr	x1, use_network
	bl	fail
	b	program_to_run
1:	ldr	x24, [x28, #START_REQUESTS]
2:	ldr	x1, [x24]
	cbz	x1, 3f
	mov	x0, x23
	ldr	x2, [x24, #8]
	system	IOCTL
	adr	x1, nothing
	ldr	x2, [x24, #16]
	bl	report
	add	x24, x24, #24
	b	2b
3:	mov	x0, x23
	system	CLOSE

// The kernel passes on the words after " -- ", and before them the words that it doesn't know. A program is named by its path. x24:
// its arguments, or 0 for the program in /.guest/start.
program_to_run:
	ldr	x0, [x19]
	cbz	x0, 2f
	add	x24, x19, #8
1:	ldr	x0, [x24, #8]!
	cbz	x0, 2f
	ldrb	w1, [x0]
	cmp	w1, #'/'
	b.ne	1b
	str	x0, [sp, #PROGRAM]
	b	3f
2:	mov	x24, #0
	ldr	x0, [sp, #PROGRAM]
	cbz	x0, power_off
3:	text	running
	ldr	x0, [sp, #PROGRAM]
	bl	put
	bl	end_line
	mov	x0, #SIGCHLD
	mov	x1, #0
	mov	x2, #0
	mov	x3, #0
	mov	x4, #0
	system	CLONE
	cbz	x0, child
	tbz	x0, #63, 1f
	adr	x1, start_process
	bl	fail
	b	power_off
1:	mov	x23, x0
2:	mov	x0, #-1				// any child: orphans become children of this program
	mov	x1, sp
	mov	x2, #0
	mov	x3, #0
	system	WAIT4
	cmp	x0, x23
	b.eq	3f
	tbz	x0, #63, 2b
	cmn	x0, #EINTR
	b.eq	2b
	adr	x1, wait_for_it
	bl	fail
	b	power_off
3:	ldr	x0, [sp, #PROGRAM]
	bl	put
	ldr	w23, [sp]
	ands	w25, w23, #0x7f
	b.ne	4f
	text	exited
	ubfx	w0, w23, #8, #8
	b	5f
4:	text	killed
	mov	w0, w25
5:	bl	put_number
	bl	end_line

// The console must have written its output before the machine stops. A kernel that can't power off is asked to stop in other ways.
power_off:
	mov	x0, #1
	mov	x1, #TCSBRK
	mov	x2, #1
	system	IOCTL
	system	SYNC
	long	w2, POWER_OFF
	bl	reboot
	long	w2, RESTART
	bl	reboot
	long	w2, HALT
	bl	reboot
	mov	x0, #1
	system	EXIT

child:	system	SETSID
	mov	x1, x24
	ldr	x2, [x19]
	add	x2, x19, x2, lsl #3
	add	x2, x2, #16
	cbnz	x24, 1f
	ldr	x0, [x28, #START_FOLDER]
	system	CHDIR
	adr	x1, enter
	ldr	x2, [x28, #START_FOLDER]
	tbnz	x0, #63, 4f
	mov	x0, #1				// the console, to which /dev/stdout and the like lead
	ldr	x1, [x28, #START_USER]
	mov	x2, #-1
	system	FCHOWN
	ldp	x0, x1, [x28, #START_GROUP_COUNT]
	system	SETGROUPS
	tbnz	x0, #63, 2f
	ldr	x0, [x28, #START_GROUP]
	system	SETGID
	tbnz	x0, #63, 2f
	ldr	x0, [x28, #START_USER]
	system	SETUID
	tbnz	x0, #63, 2f
	ldp	x1, x2, [x28, #START_ARGUMENTS]
1:	ldr	x0, [sp, #PROGRAM]
	system	EXECVE
	adr	x1, run
	b	3f
2:	adr	x1, change_user
3:	ldr	x2, [sp, #PROGRAM]
4:	bl	report
	mov	x0, #127
	system	EXIT

// Restarts or stops the machine, depending on w2. Returns if the kernel refuses.
reboot:	long	w0, REBOOT_MAGIC1
	long	w1, REBOOT_MAGIC2
	mov	x3, #0
	system	REBOOT
	adr	x1, stop_machine
	b	fail

// Opens the file at x1 with the flags in x2; x0: its number or an error.
open:	mov	x0, #AT_FDCWD
	mov	x3, #0
	system	OPENAT
	ret

// Creates the folder x1 and mounts a file system of type x0 on it; x0: negative after a failure. One that is mounted already is fine.
mount:	mov	x5, x0
	mov	x0, #AT_FDCWD
	mov	x2, #0755
	system	MKDIRAT
	mov	x0, x5
	mov	x2, x5
	mov	x3, #0
	mov	x4, #0
	system	MOUNT
	cmn	x0, #EBUSY
	csel	x0, xzr, x0, eq
	ret

// If x0 has an error, prints that the action in x1 failed for the object in x2.
report:	tbnz	x0, #63, 1f
	ret
1:	stp	x29, x30, [sp, #-16]!
	mov	x27, x0
	mov	x26, x1
	mov	x25, x2
	text	cannot
	mov	x0, x26
	bl	put
	mov	x0, x25
	bl	put
	mov	x0, x27
	ldp	x29, x30, [sp], #16
	b	error

// Prints that the action in x1 failed, with the error in x0.
fail:	stp	x29, x30, [sp, #-16]!
	mov	x27, x0
	mov	x26, x1
	text	cannot
	mov	x0, x26
	bl	put
	mov	x0, x27
	ldp	x29, x30, [sp], #16

// Ends the line with the error in x0, a negative number, and its meaning if that is known.
error:	stp	x29, x30, [sp, #-16]!
	neg	x27, x0
	text	error_number
	mov	x0, x27
	bl	put_number
	ldp	x29, x30, [sp], #16
	adr	x0, errors
1:	ldrb	w1, [x0], #1
	cbz	w1, end_line
	cmp	w1, w27
	b.eq	3f
2:	ldrb	w1, [x0], #1
	cbnz	w1, 2b
	b	1b
3:	stp	x29, x30, [sp, #-16]!
	bl	put
	ldp	x29, x30, [sp], #16

// Writes the line and begins a new one.
end_line:
	mov	w0, #'\n'
	strb	w0, [x21], #1
	mov	x9, x20
1:	mov	x1, x9
	subs	x2, x21, x9
	b.eq	2f
	mov	x0, #1
	system	WRITE
	cmn	x0, #EINTR
	b.eq	1b
	cmp	x0, #0
	b.le	2f
	add	x9, x9, x0
	b	1b
2:	mov	x21, x20
	ret

// Appends the text at x0 to the line, as far as there is room.
put:	cmp	x21, x22
	b.hs	1f
	ldrb	w9, [x0], #1
	cbz	w9, 1f
	strb	w9, [x21], #1
	b	put
1:	ret

// Appends the number in x0 to the line, in decimal.
put_number:
	sub	sp, sp, #32			// room for up to 20 digits
	add	x10, sp, #32
	mov	x9, #10
1:	udiv	x12, x0, x9
	msub	x13, x12, x9, x0
	add	w13, w13, #'0'
	strb	w13, [x10, #-1]!
	mov	x0, x12
	cbnz	x0, 1b
	add	x11, sp, #32
2:	cmp	x21, x22
	b.hs	3f
	ldrb	w13, [x10], #1
	strb	w13, [x21], #1
	cmp	x10, x11
	b.lo	2b
3:	add	sp, sp, #32
	ret

	.include "guest-init-texts.S"
end:
