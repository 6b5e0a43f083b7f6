# A guest that takes the first steps of every 64-bit kernel within a fraction of a second, and then prints a line on COM1.
# On hosts whose KVM can't run such guests, it fails or hangs, or takes minutes if KVM emulates every instruction.
#
# It is loaded at PROBE, and its first byte is the PVH entry. Page tables, stack and IDT follow in memory that is initially zero.
# To assemble: as --64 -o kvm-probe.o kvm-probe.S && objcopy -O binary -j .text kvm-probe.o kvm-probe.bin

	.set	PROBE, 0x100000
	.set	PML4, 0x110000
	.set	PDPT, 0x111000
	.set	PDPT_HIGH, 0x112000
	.set	PD, 0x113000
	.set	IDT, 0x114000
	.set	STACK_TOP, 0x116000
	.set	HIGH, 0xffffffff80000000	# where kernels live: the last 2 GiB
	.set	CODE_SELECTOR, 0x08
	.set	DATA_SELECTOR, 0x10
	.set	MSR_EFER, 0xc0000080
	.set	MSR_STAR, 0xc0000081
	.set	MSR_GS_BASE, 0xc0000101
	.set	MSR_KERNEL_GS_BASE, 0xc0000102
	.set	COM1, 0x3f8
	.set	ROUNDS, 30000000		# 10 to 30 ms on a processor, half a minute in an emulator of instructions

	.text
	.code32
start:	cli
	cld
# The first GiB at 0 and at HIGH, in pages of 2 MiB.
	movl	$PDPT+3, PML4
	movl	$PDPT_HIGH+3, PML4+511*8
	movl	$PD+3, PDPT
	movl	$PD+3, PDPT_HIGH+510*8
	mov	$PD, %edi
	mov	$0x83, %eax
1:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	cmp	$0x40000000, %eax
	jb	1b
	lgdt	gdtr - start + PROBE
	mov	%cr4, %eax
	or	$0x620, %eax			# PAE, OSFXSR, OSXMMEXCPT
	mov	%eax, %cr4
	mov	$PML4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$0x901, %eax			# NXE, LME, SCE
	wrmsr
	mov	$0x80010033, %eax		# PG, WP, NE, ET, MP, PE
	mov	%eax, %cr0
	ljmp	$CODE_SELECTOR, $long_mode - start + PROBE

	.code64
long_mode:
	mov	$DATA_SELECTOR, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$HIGH + PROBE + (high - start), %rax
	jmp	*%rax
high:	mov	$HIGH + STACK_TOP, %rsp

# Exceptions: breakpoint and invalid opcode, through gates to one handler.
	lea	handler(%rip), %rax
	mov	$HIGH + IDT, %rdi
	mov	$3, %ecx
	call	gate
	mov	$6, %ecx
	call	gate
	sub	$16, %rsp
	movw	$0xfff, 6(%rsp)
	mov	%rdi, 8(%rsp)
	lidt	6(%rsp)
	xor	%ebx, %ebx
	int3
	nop				# so that INT3's frame doesn't point at the UD2
	ud2
	cmp	$2, %ebx
	jne	stop

# Processor state that a kernel's entry code depends on.
	mov	$MSR_GS_BASE, %ecx
	lea	start(%rip), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
	mov	$MSR_KERNEL_GS_BASE, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	swapgs
	swapgs
	mov	$MSR_STAR, %ecx
	mov	$0x00180008, %edx
	wrmsr
	mov	%gs:0, %al
	cmp	start(%rip), %al
	jne	stop
	mov	$1, %eax
	cpuid
	fninit
	pxor	%xmm0, %xmm0
	movups	%xmm0, -64(%rsp)
	mov	%cr3, %rax			# a flush of the TLB
	mov	%rax, %cr3
	invlpg	(%rsp)
	pushfq
	popfq

# Work: instructions, then memory.
	mov	$ROUNDS, %ecx
2:	dec	%ecx
	jnz	2b
	mov	$HIGH + 0x200000, %rdi
	mov	$0x200000, %ecx
	xor	%eax, %eax
	rep stosl

	lea	message(%rip), %rsi
3:	mov	$COM1 + 5, %edx			# line status: wait until the transmitter is free
	mov	$100000, %ecx
4:	in	%dx, %al
	test	$0x20, %al
	jnz	5f
	dec	%ecx
	jnz	4b
5:	lodsb
	test	%al, %al
	jz	stop
	mov	$COM1, %edx
	out	%al, %dx
	jmp	3b
stop:	hlt
	jmp	stop

# Makes the interrupt gate %ecx in the table at %rdi lead to %rax.
gate:	shl	$4, %ecx
	mov	%ax, (%rdi,%rcx)
	movw	$CODE_SELECTOR, 2(%rdi,%rcx)
	movw	$0x8e00, 4(%rdi,%rcx)
	mov	%rax, %rdx
	shr	$16, %rdx
	mov	%dx, 6(%rdi,%rcx)
	shr	$16, %rdx
	mov	%edx, 8(%rdi,%rcx)
	ret

# Counts in %ebx. UD2 has two bytes and its frame points at them; INT3's frame points behind it.
handler:
	inc	%ebx
	push	%rax
	mov	8(%rsp), %rax
	cmpw	$0x0b0f, (%rax)
	jne	6f
	addq	$2, 8(%rsp)
6:	pop	%rax
	iretq

	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdtr:	.word	. - gdt - 1
	.long	gdt - start + PROBE
message:
	.asciz	"nx-igvm: guest runs\r\n"
