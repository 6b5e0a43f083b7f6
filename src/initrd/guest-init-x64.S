# The first program of a guest, for machines that have no busybox at hand. It mounts /dev, /proc and /sys, says what it runs on,
# runs the program that the kernel's command line names behind " -- ", if there is one, and powers the guest off.
#
# The bytes are a whole ELF program: one segment, code and constants, and what changes is on the stack. guest-init.ts holds
# them; guest-init-aarch64.S is the same program for the other architecture.
#
# To assemble: as --64 -o init.o guest-init-x64.S && objcopy -O binary -j .text init.o init

	.set	BASE, 0x400000			# where the program is loaded

# System calls (Linux arch/x86/entry/syscalls/syscall_64.tbl): number in rax, arguments in rdi, rsi, rdx, r10, r8; the result
# in rax, a negative error number when it failed. rcx and r11 are lost.
	.set	READ, 0
	.set	WRITE, 1
	.set	CLOSE, 3
	.set	IOCTL, 16
	.set	DUP, 32
	.set	GETPID, 39
	.set	CLONE, 56
	.set	EXECVE, 59
	.set	EXIT, 60
	.set	WAIT4, 61
	.set	UNAME, 63
	.set	FCNTL, 72
	.set	SYSINFO, 99
	.set	SETSID, 112
	.set	SYNC, 162
	.set	MOUNT, 165
	.set	REBOOT, 169
	.set	SCHED_GETAFFINITY, 204
	.set	OPENAT, 257
	.set	MKDIRAT, 258

	.set	AT_FDCWD, -100
	.set	O_RDONLY, 0
	.set	O_WRONLY, 1
	.set	O_RDWR, 2
	.set	F_GETFD, 1
	.set	TCSBRK, 0x5409
	.set	SIGCHLD, 17
	.set	EINTR, 4
	.set	EBUSY, 16
	.set	REBOOT_MAGIC1, 0xfee1dead
	.set	REBOOT_MAGIC2, 672274793
	.set	POWER_OFF, 0x4321fedc
	.set	RESTART, 0x01234567
	.set	HALT, 0xcdef0123

# What the kernel fills (include/uapi/linux/utsname.h, sysinfo.h).
	.set	UTS_RELEASE, 130
	.set	UTS_VERSION, 195
	.set	UTS_MACHINE, 260
	.set	TOTAL_RAM, 32			# quad, in units of
	.set	MEM_UNIT, 104			# long

# The stack: one buffer for what the kernel fills, and the line that is being put together, so that it is written at once.
	.set	SCRATCH_SIZE, 0x1000
	.set	LINE_SIZE, 0x2000
	.set	FRAME, SCRATCH_SIZE + LINE_SIZE

	.text
program:
	.byte	0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
	.short	2, 62				# an executable for x86-64
	.long	1
	.quad	BASE + start - program
	.quad	segments - program, 0
	.long	0
	.short	64, 56, 2, 0, 0, 0
segments:
	.long	1, 5				# PT_LOAD, readable and executable
	.quad	0, BASE, BASE, end - program, end - program, 0x1000
	.long	0x6474e551, 6			# PT_GNU_STACK, readable and writable
	.quad	0, 0, 0, 0, 0, 16

	.macro	system number
	mov	$\number, %eax
	syscall
	.endm

	.macro	text string
	lea	\string(%rip), %rsi
	call	put
	.endm

	.macro	mounted type, directory, what
	lea	\type(%rip), %rdi
	lea	\directory(%rip), %rsi
	call	mount
	lea	\what(%rip), %rsi
	test	%rax, %rax
	jns	1f
	call	fail
1:
	.endm

# rbx: argc, arguments, 0, environment, 0 as the kernel left them; rsp: scratch buffer; r14: start of the line; r12: its end so
# far; r13: where it has to end, with room for one newline.
start:	mov	%rsp, %rbx
	and	$-16, %rsp
	sub	$FRAME, %rsp
	cld
	lea	SCRATCH_SIZE(%rsp), %r14
	mov	%r14, %r12
	lea	LINE_SIZE-1(%r14), %r13
	system	GETPID
	cmp	$1, %eax			# anywhere else it would power off somebody's machine
	je	first
	text	not_first
	call	end_line
	mov	$1, %edi
	system	EXIT

# The device nodes come first: without a console nobody reads what went wrong.
first:	lea	devtmpfs(%rip), %rdi
	lea	dev(%rip), %rsi
	call	mount
	mov	%rax, %r15
	mov	$1, %edi
	mov	$F_GETFD, %esi
	system	FCNTL
	test	%rax, %rax
	jns	2f
	lea	console(%rip), %rsi		# the initramfs had no /dev/console: open what has appeared since
	mov	$O_RDWR, %edx
	call	open
	test	%rax, %rax
	jns	1f
	lea	kmsg(%rip), %rsi
	mov	$O_WRONLY, %edx
	call	open
1:	xor	%edi, %edi			# it is stdin, being the first; make it stdout and stderr, too
	system	DUP
	xor	%edi, %edi
	system	DUP
2:	mov	%r15, %rax
	test	%rax, %rax
	jns	3f
	lea	mount_dev(%rip), %rsi
	call	fail
3:	mounted	proc_type, proc, mount_proc
	mounted	sysfs, sys, mount_sys

# guest is up: Linux 6.1.0 on x86_64, 2 CPUs, 477 MiB of memory
	mov	%rsp, %rdi
	system	UNAME
	text	is_up
	mov	%rsp, %rsi
	call	put
	text	space
	lea	UTS_RELEASE(%rsp), %rsi
	call	put
	text	on
	lea	UTS_MACHINE(%rsp), %rsi
	call	put
	xor	%edi, %edi
	mov	$SCRATCH_SIZE/2, %esi
	lea	SCRATCH_SIZE/2(%rsp), %rdx	# uname's answer is needed once more
	system	SCHED_GETAFFINITY
	test	%rax, %rax
	jle	3f
	xor	%r8d, %r8d			# CPUs that it may run on: a bit for each
	lea	SCRATCH_SIZE/2(%rsp), %rsi
1:	movzbl	(%rsi), %edx
	jmp	4f
2:	lea	-1(%rdx), %ecx
	and	%ecx, %edx
	inc	%r8
4:	test	%edx, %edx
	jnz	2b
	inc	%rsi
	dec	%rax
	jnz	1b
	push	%r8
	text	comma
	mov	(%rsp), %rax
	call	put_number
	text	cpu
	pop	%rax
	cmp	$1, %rax
	je	3f
	text	plural
3:	lea	SCRATCH_SIZE/2(%rsp), %rdi
	system	SYSINFO
	test	%rax, %rax
	js	5f
	text	comma
	mov	SCRATCH_SIZE/2+MEM_UNIT(%rsp), %eax
	mulq	SCRATCH_SIZE/2+TOTAL_RAM(%rsp)
	shr	$20, %rax
	call	put_number
	text	mib
5:	call	end_line
	text	version
	lea	UTS_VERSION(%rsp), %rsi
	call	put
	call	end_line

# command line: what /proc/cmdline says, whose newline ends the line
	lea	proc_cmdline(%rip), %rsi
	mov	$O_RDONLY, %edx
	call	open
	test	%rax, %rax
	jns	1f
	lea	read_cmdline(%rip), %rsi
	call	fail
	jmp	program_to_run
1:	mov	%eax, %ebp
	text	command_line
2:	mov	%ebp, %edi
	mov	%r12, %rsi
	mov	%r13, %rdx
	sub	%r12, %rdx
	jz	3f
	system	READ
	test	%rax, %rax
	jle	3f
	add	%rax, %r12
	jmp	2b
3:	cmpb	$'\n', -1(%r12)
	jne	4f
	dec	%r12
4:	call	end_line
	mov	%ebp, %edi
	system	CLOSE

# The kernel hands on what stands behind " -- ", and before that words that it doesn't know. A program is named by its path.
program_to_run:
	lea	8(%rbx), %rbp
	cmpq	$0, (%rbx)
	je	power_off
1:	add	$8, %rbp
	mov	(%rbp), %rsi
	test	%rsi, %rsi
	jz	power_off
	cmpb	$'/', (%rsi)
	jne	1b
	text	running
	mov	(%rbp), %rsi
	call	put
	call	end_line
	mov	$SIGCHLD, %edi
	xor	%esi, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	system	CLONE
	test	%rax, %rax
	jz	child
	jns	1f
	lea	start_process(%rip), %rsi
	call	fail
	jmp	power_off
1:	mov	%rax, %r15
2:	mov	$-1, %rdi			# any child: orphans become this program's, too
	mov	%rsp, %rsi
	xor	%edx, %edx
	xor	%r10d, %r10d
	system	WAIT4
	cmp	%r15, %rax
	je	3f
	test	%rax, %rax
	jns	2b
	cmp	$-EINTR, %rax
	je	2b
	lea	wait_for_it(%rip), %rsi
	call	fail
	jmp	power_off
3:	mov	(%rbp), %rsi
	call	put
	mov	(%rsp), %eax
	and	$0x7f, %eax
	jnz	4f
	text	exited
	movzbl	1(%rsp), %eax
	jmp	5f
4:	mov	%eax, %r8d
	text	killed
	mov	%r8d, %eax
5:	call	put_number
	call	end_line

# The console's output has to be out before the machine is. A kernel that can't power off gets further chances.
power_off:
	mov	$1, %edi
	mov	$TCSBRK, %esi
	mov	$1, %edx
	system	IOCTL
	system	SYNC
	mov	$POWER_OFF, %edx
	call	reboot
	mov	$RESTART, %edx
	call	reboot
	mov	$HALT, %edx
	call	reboot
	mov	$1, %edi
	system	EXIT

child:	system	SETSID
	mov	(%rbp), %rdi
	mov	%rbp, %rsi
	mov	(%rbx), %rdx
	lea	16(%rbx,%rdx,8), %rdx
	system	EXECVE
	push	%rax
	text	cannot_run
	mov	(%rbp), %rsi
	call	put
	pop	%rax
	call	error
	mov	$127, %edi
	system	EXIT

# Restarts or stops the machine as rdx says; returns when the kernel won't.
reboot:	mov	$REBOOT_MAGIC1, %edi
	mov	$REBOOT_MAGIC2, %esi
	xor	%r10d, %r10d
	system	REBOOT
	lea	stop_machine(%rip), %rsi
	jmp	fail

# Opens the file at rsi as rdx says; rax: its number or an error.
open:	mov	$AT_FDCWD, %edi
	xor	%r10d, %r10d
	system	OPENAT
	ret

# Mounts a file system of type rdi on rsi, which it makes; rax: negative when it failed. What is mounted already is fine.
mount:	push	%rdi
	push	%rsi
	mov	$AT_FDCWD, %edi
	mov	$0755, %edx
	system	MKDIRAT
	pop	%rsi
	pop	%rdi
	mov	%rdi, %rdx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	system	MOUNT
	cmp	$-EBUSY, %rax
	jne	1f
	xor	%eax, %eax
1:	ret

# Prints that what rsi says could not be done, with the error in rax.
fail:	push	%rax
	push	%rsi
	text	cannot
	pop	%rsi
	call	put
	pop	%rax

# Ends the line with the error in rax, a negative number, and what it means if that is known.
error:	neg	%rax
	push	%rax
	text	error_number
	mov	(%rsp), %rax
	call	put_number
	pop	%rax
	lea	errors(%rip), %rsi
1:	cmpb	$0, (%rsi)
	je	end_line
	cmp	%al, (%rsi)
	je	3f
2:	inc	%rsi
	cmpb	$0, (%rsi)
	jne	2b
	inc	%rsi
	jmp	1b
3:	inc	%rsi
	call	put

# Writes the line and begins a new one.
end_line:
	movb	$'\n', (%r12)
	inc	%r12
	mov	%r14, %rsi
1:	mov	%r12, %rdx
	sub	%rsi, %rdx
	jz	2f
	mov	$1, %edi
	system	WRITE
	cmp	$-EINTR, %rax
	je	1b
	test	%rax, %rax
	jle	2f
	add	%rax, %rsi
	jmp	1b
2:	mov	%r14, %r12
	ret

# Adds the text at rsi to the line, as far as there is room.
put:	cmp	%r13, %r12
	jae	1f
	mov	(%rsi), %al
	test	%al, %al
	jz	1f
	mov	%al, (%r12)
	inc	%r12
	inc	%rsi
	jmp	put
1:	ret

# Adds the number in rax to the line, in decimal.
put_number:
	mov	$10, %ecx
	xor	%r8d, %r8d
1:	xor	%edx, %edx
	div	%rcx
	add	$'0', %edx
	push	%rdx
	inc	%r8d
	test	%rax, %rax
	jnz	1b
2:	pop	%rdx
	cmp	%r13, %r12
	jae	3f
	mov	%dl, (%r12)
	inc	%r12
3:	dec	%r8d
	jnz	2b
	ret

devtmpfs:	.asciz	"devtmpfs"
dev:		.asciz	"/dev"
proc_type:	.asciz	"proc"
proc:		.asciz	"/proc"
sysfs:		.asciz	"sysfs"
sys:		.asciz	"/sys"
console:	.asciz	"/dev/console"
kmsg:		.asciz	"/dev/kmsg"
proc_cmdline:	.asciz	"/proc/cmdline"

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
start_process:	.asciz	"start a process"
wait_for_it:	.asciz	"wait for it"
stop_machine:	.asciz	"stop the machine"
cannot_run:	.asciz	"init: cannot run "
error_number:	.asciz	": error "
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
end:
