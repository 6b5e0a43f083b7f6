# From the PVH entry of a VM to the state that an IGVM native VP context describes.
#
# The exporter puts one block into guest memory: parameters, a GDT, this code, and a table of copies. The code is
# constant; it finds the block through the immediate of its first instruction, which the exporter fills in. Offsets of
# the parameters are repeated in pvh-stub.ts.
#
# On entry (PVH boot ABI): 32-bit protected mode with flat segments, no paging, interrupts off, no stack, %ebx at
# hvm_start_info. The code has no stack either, until it pops the registers from the block.
#
# To assemble: as --64 -o pvh-stub.o pvh-stub.S && objcopy -O binary -j .text pvh-stub.o pvh-stub.bin

# Parameters, as offsets from the block's start.
	.set	STUB_GDTR, 0x00		# word limit, long base of the block's own GDT
	.set	DATA_SELECTOR, 0x06	# word
	.set	CR0, 0x08		# longs
	.set	CR3, 0x0c
	.set	CR4, 0x10
	.set	EFER, 0x14		# without LMA, which the processor sets
	.set	FAR_POINTER, 0x18	# long address of long_mode, word code selector
	.set	COPY_TABLE, 0x20	# long address of {source, destination, count of longs}; a count of 0 ends it
	.set	ZERO_PAGE, 0x24		# long address of the Linux zero page that gets the VMM's tables; 0: none
	.set	RSP, 0x28		# quads
	.set	GS_BASE, 0x30
	.set	GDTR, 0x38		# word limit, quad base
	.set	IDTR, 0x48		# word limit, quad base
	.set	REGISTERS, 0x58		# quads in the order in which they are popped, RIP last
	.set	RIP, 0xd8
	.set	GDT, 0x100		# 16 descriptors
	.set	CODE, 0x180		# this code

# hvm_start_info (Xen public/arch-x86/hvm/start_info.h)
	.set	START_MAGIC, 0x336ec578
	.set	START_VERSION, 4
	.set	START_RSDP, 32
	.set	START_MEMMAP, 40
	.set	START_MEMMAP_ENTRIES, 48

# boot_params (Linux Documentation/arch/x86/zero-page.rst)
	.set	ZP_ACPI_RSDP, 0x70
	.set	ZP_E820_ENTRIES, 0x1e8
	.set	ZP_E820_TABLE, 0x2d0
	.set	ZP_E820_MAX, 128

	.set	MSR_EFER, 0xc0000080
	.set	MSR_GS_BASE, 0xc0000101

	.text
	.code32
	mov	$0x12345678, %ebp		# the block's address
	cli
	cld

# Replace the image's memory map and ACPI pointer by the VMM's: both or neither.
	mov	ZERO_PAGE(%ebp), %edx
	test	%edx, %edx
	jz	copies
	cmpl	$START_MAGIC, (%ebx)
	jne	copies
	cmpl	$0, START_VERSION(%ebx)		# version 0 has no memory map
	je	copies
	mov	START_MEMMAP_ENTRIES(%ebx), %ecx
	jecxz	copies
	cmp	$ZP_E820_MAX, %ecx
	jbe	1f
	mov	$ZP_E820_MAX, %ecx
1:	mov	%cl, ZP_E820_ENTRIES(%edx)
	mov	START_MEMMAP(%ebx), %esi
	lea	ZP_E820_TABLE(%edx), %edi
2:	movsl					# 24 bytes become 20: base, size and type are the same, a reserved
	movsl					# long at the end goes
	movsl
	movsl
	movsl
	add	$4, %esi
	loop	2b
	mov	START_RSDP(%ebx), %eax
	mov	%eax, ZP_ACPI_RSDP(%edx)
	mov	START_RSDP+4(%ebx), %eax
	mov	%eax, ZP_ACPI_RSDP+4(%edx)

# The VMM's data below 1 MiB is no longer needed, so the image's low pages are copied there.
copies:	mov	COPY_TABLE(%ebp), %edx
3:	mov	8(%edx), %ecx
	jecxz	enter
	mov	(%edx), %esi
	mov	4(%edx), %edi
	rep movsl
	add	$12, %edx
	jmp	3b

enter:	lgdt	STUB_GDTR(%ebp)
	mov	CR4(%ebp), %eax
	mov	%eax, %cr4
	mov	CR3(%ebp), %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	EFER(%ebp), %eax
	xor	%edx, %edx
	wrmsr
	mov	CR0(%ebp), %eax
	mov	%eax, %cr0
	ljmp	*FAR_POINTER(%ebp)

	.code64
	.globl	long_mode
long_mode:
	mov	%ebp, %ebp			# its upper half is undefined after the switch
	movzwl	DATA_SELECTOR(%rbp), %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	$MSR_GS_BASE, %ecx
	mov	GS_BASE(%rbp), %eax
	mov	GS_BASE+4(%rbp), %edx
	wrmsr
	lgdt	GDTR(%rbp)			# the segments keep what the block's GDT gave them
	lidt	IDTR(%rbp)
	lea	REGISTERS(%rbp), %rsp
	popfq
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	.set	block, .text - CODE
	mov	block+RSP(%rip), %rsp
	jmp	*block+RIP(%rip)
