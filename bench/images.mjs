// The images of the benchmark: manifest, measurements, and maximum size of the initrd.
const MIB = 1024 * 1024;
/** Pages for `bytes`, in multiples of 2 MiB as OpenHCL requires. */
const pages = (bytes) => Math.ceil(bytes / (2 * MIB)) * 512;

const guest = (isolation_type, image, max_vtl = 0) => ({ guest_svn: 1, max_vtl, isolation_type, image });
const linux = { use_initrd: true, command_line: 'console=ttyS0' };
const openhcl = (initrd) => ({
  openhcl: { command_line: '', memory_page_base: 32768, memory_page_count: pages(initrd + 96 * MIB), uefi: false },
});
const snp = { policy: 196639, enable_debug: false, injection_type: 'restricted', secure_avic: 'disabled' };

/** `guests(initrdBytes)` returns the guest configs, `hashes` names their measurements. */
export const IMAGES = [
  { name: 'native', hashes: [], maxMib: 3500, guests: () => [guest('none', { linux })] },
  { name: 'openhcl none', hashes: [], maxMib: 3500, guests: (initrd) => [guest('none', openhcl(initrd), 2)] },
  {
    name: 'openhcl vbs',
    hashes: ['vbs'],
    maxMib: 3500,
    guests: (initrd) => [guest({ vbs: { enable_debug: false } }, openhcl(initrd), 2)],
  },
  {
    name: 'snp_linux_direct',
    hashes: ['snp'],
    maxMib: 3500,
    guests: (initrd) => [
      guest(
        { snp: { ...snp, policy: 196608, injection_type: 'normal', shared_gpa_boundary_bits: null } },
        {
          snp_linux_direct: {
            linux,
            processor_count: 1,
            memory_page_count: pages(initrd + 192 * MIB),
            c_bit_position: 51,
          },
        },
      ),
    ],
  },
  {
    name: 'openhcl snp+tdx+vbs',
    hashes: ['snp', 'tdx', 'vbs'],
    maxMib: 16,
    // The region with the hashes of shared pages ends at 85 MiB of kernel and initrd.
    sizes: [1, 8, 16],
    guests: (initrd) => [
      guest({ snp: { ...snp, shared_gpa_boundary_bits: 46 } }, openhcl(initrd), 2),
      guest({ tdx: { enable_debug: false, sept_ve_disable: true } }, openhcl(initrd), 2),
      guest({ vbs: { enable_debug: false } }, openhcl(initrd), 2),
    ],
  },
];
