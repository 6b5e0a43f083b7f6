# The first program of a guest, so that a guest needs no busybox. It mounts /dev, /proc and /sys, prints what it runs on, and follows
# the instructions in the file /.guest/start, if there is one (guest-start.ts makes it). Then it runs the program that the kernel's
# command line names after " -- ", or else the one in that file, and powers the guest off.
#
# The bytes are a whole ELF program with one segment of code and constants. Variables are on the stack. guest-init.ts contains the
# bytes. guest-init-aarch64.S is the same program for the other architecture.
#
# To assemble, in this folder: as --64 -o init.o guest-init-x64.S && objcopy -O binary -j .text init.o init

	.set	BASE, 0x400000			# the address of the program

# System calls (Linux arch/x86/entry/syscalls/syscall_64.tbl): number in rax, arguments in rdi, rsi, rdx, r10, r8; result
# in rax, a negative error number after a failure. rcx and r11 are overwritten.
	.set	READ, 0
	.set	WRITE, 1
	.set	CLOSE, 3
	.set	MMAP, 9
	.set	IOCTL, 16
	.set	DUP, 32
	.set	GETPID, 39
	.set	SOCKET, 41
	.set	CLONE, 56
	.set	EXECVE, 59
	.set	EXIT, 60
	.set	WAIT4, 61
	.set	UNAME, 63
	.set	FCNTL, 72
	.set	CHDIR, 80
	.set	FCHOWN, 93
	.set	SYSINFO, 99
	.set	SETUID, 105
	.set	SETGID, 106
	.set	SETSID, 112
	.set	SETGROUPS, 116
	.set	SYNC, 162
	.set	MOUNT, 165
	.set	REBOOT, 169
	.set	SCHED_GETAFFINITY, 204
	.set	OPENAT, 257
	.set	MKDIRAT, 258
	.set	SYMLINKAT, 266
	.set	FINIT_MODULE, 313

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

# Structures that the kernel fills (include/uapi/linux/utsname.h, sysinfo.h).
	.set	UTS_RELEASE, 130
	.set	UTS_VERSION, 195
	.set	UTS_MACHINE, 260
	.set	TOTAL_RAM, 32			# quad, in units of
	.set	MEM_UNIT, 104			# long

# The stack: one buffer for what the kernel fills, and one for a line, so that each line is written at once.
	.set	SCRATCH_SIZE, 0x1000
	.set	LINE_SIZE, 0x2000
	.set	FRAME, SCRATCH_SIZE + LINE_SIZE
	.set	PROGRAM, SCRATCH_SIZE - 8	# in the buffer: the path of the running program, or 0

# /.guest/start in memory: its address, and its fields. Lists end with a zero.
	.set	START, 0x10000000
	.set	START_SIZE, 0x100000
	.set	START_MODULES, START		# paths
	.set	START_MOUNTS, START + 8		# type, path, flags, data
	.set	START_LINKS, START + 16		# target, path
	.set	START_REQUESTS, START + 24	# number, structure, purpose
	.set	START_PROGRAM, START + 32
	.set	START_ARGUMENTS, START + 40
	.set	START_ENVIRONMENT, START + 48
	.set	START_FOLDER, START + 56
	.set	START_GROUP_COUNT, START + 64
	.set	START_GROUPS, START + 72
	.set	START_GROUP, START + 80
	.set	START_USER, START + 88

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

# rbx: argc, arguments, 0, environment, 0 from the kernel; rsp: scratch buffer; r14: start of the line; r12: its present end;
# r13: its last possible end, with room for one newline.
start:	mov	%rsp, %rbx
	and	$-16, %rsp
	sub	$FRAME, %rsp
	cld
	lea	SCRATCH_SIZE(%rsp), %r14
	mov	%r14, %r12
	lea	LINE_SIZE-1(%r14), %r13
	system	GETPID
	cmp	$1, %eax			# otherwise it would power off the machine of a user
	je	first
	text	not_first
	call	end_line
	mov	$1, %edi
	system	EXIT

# The device nodes come first: without a console, nobody would see an error.
first:	lea	devtmpfs(%rip), %rdi
	lea	dev(%rip), %rsi
	call	mount
	mov	%rax, %r15
	mov	$1, %edi
	mov	$F_GETFD, %esi
	system	FCNTL
	test	%rax, %rax
	jns	2f
	lea	console(%rip), %rsi		# the initramfs had no /dev/console: open the one that exists now
	mov	$O_RDWR, %edx
	call	open
	test	%rax, %rax
	jns	1f
	lea	kmsg(%rip), %rsi
	mov	$O_WRONLY, %edx
	call	open
1:	xor	%edi, %edi			# it is stdin, because it is the first; make it stdout and stderr, too
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
	lea	SCRATCH_SIZE/2(%rsp), %rdx	# the result of uname is needed again
	system	SCHED_GETAFFINITY
	test	%rax, %rax
	jle	3f
	xor	%r8d, %r8d			# a bit for each CPU that it may run on
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

# command line: the content of /proc/cmdline, whose newline ends the line
	lea	proc_cmdline(%rip), %rsi
	mov	$O_RDONLY, %edx
	call	open
	test	%rax, %rax
	jns	1f
	lea	read_cmdline(%rip), %rsi
	call	fail
	jmp	read_start
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

read_start:
	movq	$0, PROGRAM(%rsp)
	lea	start_file(%rip), %rsi
	mov	$O_RDONLY, %edx
	call	open
	test	%rax, %rax
	js	program_to_run
	mov	%rax, %r15
	mov	$START, %edi
	mov	$START_SIZE, %esi
	mov	$PROT_READ, %edx
	mov	$MAP_PRIVATE_FIXED, %r10d
	mov	%rax, %r8
	xor	%r9d, %r9d
	system	MMAP
	test	%rax, %rax
	jns	1f
	lea	read_start_file(%rip), %rsi
	call	fail
	jmp	power_off
1:	mov	%r15d, %edi
	system	CLOSE
	mov	START_PROGRAM, %rax
	mov	%rax, PROGRAM(%rsp)

	mov	START_MODULES, %rbp
1:	mov	(%rbp), %rsi
	test	%rsi, %rsi
	jz	4f
	mov	$O_RDONLY, %edx
	call	open
	test	%rax, %rax
	js	2f
	mov	%rax, %r15
	mov	%eax, %edi
	lea	nothing(%rip), %rsi
	xor	%edx, %edx
	system	FINIT_MODULE
	push	%rax
	mov	%r15d, %edi
	system	CLOSE
	pop	%rax
	cmp	$-EEXIST, %rax
	je	3f
2:	lea	load(%rip), %rsi
	mov	(%rbp), %rdi
	call	report
3:	add	$8, %rbp
	jmp	1b
4:	mov	START_MOUNTS, %rbp
1:	cmpq	$0, (%rbp)
	je	2f
	mov	$AT_FDCWD, %edi
	mov	8(%rbp), %rsi
	mov	$0755, %edx
	system	MKDIRAT
	mov	(%rbp), %rdi
	mov	8(%rbp), %rsi
	mov	(%rbp), %rdx
	mov	16(%rbp), %r10
	mov	24(%rbp), %r8
	system	MOUNT
	lea	mount_on(%rip), %rsi
	mov	8(%rbp), %rdi
	call	report
	add	$32, %rbp
	jmp	1b
2:	mov	START_LINKS, %rbp
1:	mov	(%rbp), %rdi
	test	%rdi, %rdi
	jz	3f
	mov	$AT_FDCWD, %esi
	mov	8(%rbp), %rdx
	system	SYMLINKAT
	cmp	$-EEXIST, %rax
	je	2f
	lea	make_link(%rip), %rsi
	mov	8(%rbp), %rdi
	call	report
2:	add	$16, %rbp
	jmp	1b
3:	mov	$AF_INET, %edi
	mov	$SOCK_DGRAM, %esi
	xor	%edx, %edx
	system	SOCKET
	mov	%rax, %r15
	test	%rax, %rax
	jns	1f
	lea	use_network(%rip), %rsi
	call	fail
	jmp	program_to_run
1:	mov	START_REQUESTS, %rbp
2:	mov	(%rbp), %rsi
	test	%rsi, %rsi
	jz	3f
	mov	%r15d, %edi
	mov	8(%rbp), %rdx
	system	IOCTL
	lea	nothing(%rip), %rsi
	mov	16(%rbp), %rdi
	call	report
	add	$24, %rbp
	jmp	2b
3:	mov	%r15d, %edi
	system	CLOSE

# The kernel passes on the words after " -- ", and before them the words that it doesn't know. A program is named by its path. rbp:
# its arguments, or 0 for the program in /.guest/start.
program_to_run:
	lea	8(%rbx), %rbp
	cmpq	$0, (%rbx)
	je	2f
1:	add	$8, %rbp
	mov	(%rbp), %rsi
	test	%rsi, %rsi
	jz	2f
	cmpb	$'/', (%rsi)
	jne	1b
	mov	%rsi, PROGRAM(%rsp)
	jmp	3f
2:	xor	%ebp, %ebp
	cmp	%rbp, PROGRAM(%rsp)
	je	power_off
3:	text	running
	mov	PROGRAM(%rsp), %rsi
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
2:	mov	$-1, %rdi			# any child: orphans become children of this program
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
3:	mov	PROGRAM(%rsp), %rsi
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

# The console must have written its output before the machine stops. A kernel that can't power off is asked to stop in other ways.
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
	mov	%rbp, %rsi
	mov	(%rbx), %rdx
	lea	16(%rbx,%rdx,8), %rdx
	test	%rbp, %rbp
	jnz	1f
	mov	START_FOLDER, %rdi
	system	CHDIR
	lea	enter(%rip), %rsi
	mov	START_FOLDER, %rdi
	test	%rax, %rax
	js	2f
	mov	$1, %edi			# the console, to which /dev/stdout and the like lead
	mov	START_USER, %rsi
	mov	$-1, %edx
	system	FCHOWN
	mov	START_GROUP_COUNT, %rdi
	mov	START_GROUPS, %rsi
	system	SETGROUPS
	test	%rax, %rax
	js	3f
	mov	START_GROUP, %rdi
	system	SETGID
	test	%rax, %rax
	js	3f
	mov	START_USER, %rdi
	system	SETUID
	test	%rax, %rax
	js	3f
	mov	START_ARGUMENTS, %rsi
	mov	START_ENVIRONMENT, %rdx
1:	mov	PROGRAM(%rsp), %rdi
	system	EXECVE
	lea	run(%rip), %rsi
	jmp	4f
3:	lea	change_user(%rip), %rsi
4:	mov	PROGRAM(%rsp), %rdi
2:	call	report
	mov	$127, %edi
	system	EXIT

# Restarts or stops the machine, depending on rdx. Returns if the kernel refuses.
reboot:	mov	$REBOOT_MAGIC1, %edi
	mov	$REBOOT_MAGIC2, %esi
	xor	%r10d, %r10d
	system	REBOOT
	lea	stop_machine(%rip), %rsi
	jmp	fail

# Opens the file at rsi with the flags in rdx; rax: its number or an error.
open:	mov	$AT_FDCWD, %edi
	xor	%r10d, %r10d
	system	OPENAT
	ret

# Creates the folder rsi and mounts a file system of type rdi on it; rax: negative after a failure. One that is mounted already is fine.
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

# If rax has an error, prints that the action in rsi failed for the object in rdi.
report:	test	%rax, %rax
	jns	1f
	push	%rax
	push	%rdi
	push	%rsi
	text	cannot
	pop	%rsi
	call	put
	pop	%rsi
	call	put
	pop	%rax
	jmp	error
1:	ret

# Prints that the action in rsi failed, with the error in rax.
fail:	push	%rax
	push	%rsi
	text	cannot
	pop	%rsi
	call	put
	pop	%rax

# Ends the line with the error in rax, a negative number, and its meaning if that is known.
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

# Appends the text at rsi to the line, as far as there is room.
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

# Appends the number in rax to the line, in decimal.
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

	.include "guest-init-texts.S"
end:
