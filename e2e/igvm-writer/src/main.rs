//! Writes files with every header type that the igvm crate knows, as golden files for our reader and writer.
use igvm::hv_defs::Vtl;
use igvm::registers::*;
use igvm::*;
use igvm_defs::*;
use std::env::args;
use std::fs;
use zerocopy::FromZeros;
use IgvmDirectiveHeader as D;
use IgvmInitializationHeader as I;
fn platform(
    mask: u32,
    platform_type: IgvmPlatformType,
    highest_vtl: u8,
    shared_gpa_boundary: u64,
) -> IgvmPlatformHeader {
    IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: mask,
        highest_vtl,
        platform_type,
        platform_version: 1,
        shared_gpa_boundary,
    })
}
fn page(
    gpa: u64,
    compatibility_mask: u32,
    data_type: IgvmPageDataType,
    flags: u32,
    data: Vec<u8>,
) -> IgvmDirectiveHeader {
    IgvmDirectiveHeader::PageData {
        gpa,
        compatibility_mask,
        flags: IgvmPageDataFlags::from(flags),
        data_type,
        data,
    }
}
fn pattern(seed: u8) -> Vec<u8> {
    (0..4096usize).map(|i| ((i as u8) ^ seed).wrapping_mul(31)).collect()
}
fn parameter(parameter_area_index: u32, byte_offset: u32) -> IGVM_VHS_PARAMETER {
    IGVM_VHS_PARAMETER {
        parameter_area_index,
        byte_offset,
    }
}
fn main() {
    let folder = args().nth(1).expect("the folder to write to");
    for (name, file) in [
        ("every-header-x64", every_header_x64()),
        ("every-header-aarch64", every_header_aarch64()),
        ("version-1", version_1()),
    ] {
        let mut bytes = Vec::new();
        file.serialize(&mut bytes).unwrap();
        fs::write(format!("{folder}/{name}.igvm"), &bytes).unwrap();
    }
}

/// Every platform except CCA.
fn every_header_x64() -> IgvmFile {
    let init = vec![
        I::GuestPolicy {
            policy: 0xffff_ffff_0003_0000,
            compatibility_mask: 2,
        },
        I::RelocatableRegion {
            compatibility_mask: 1,
            relocation_alignment: 0x200000,
            relocation_region_gpa: 0x8000000,
            relocation_region_size: 0x400000,
            minimum_relocation_gpa: 0x200000,
            maximum_relocation_gpa: 0x40000000000,
            is_vtl2: true,
            apply_rip_offset: true,
            apply_gdtr_offset: true,
            vp_index: 0,
            vtl: Vtl::Vtl2,
        },
        I::PageTableRelocationRegion {
            compatibility_mask: 1,
            gpa: 0x9000000,
            size: 0x20000,
            used_size: 0x5000,
            vp_index: 0,
            vtl: Vtl::Vtl2,
        },
        I::CorimDocument {
            compatibility_mask: 1,
            document: b"a corim document".to_vec(),
        },
        I::CorimDocument {
            compatibility_mask: 2,
            document: b"another document!".to_vec(),
        },
        I::CorimSignature {
            compatibility_mask: 1,
            signature: b"a signature".to_vec(),
        },
    ];
    let mut dir = vec![
        D::RequiredMemory {
            gpa: 0x100000,
            compatibility_mask: 3,
            number_of_bytes: 0xfffff000,
            vtl2_protectable: true,
        },
        D::RequiredMemory {
            gpa: 0x1000,
            compatibility_mask: 8,
            number_of_bytes: 0x1000,
            vtl2_protectable: false,
        },
        D::ParameterArea {
            number_of_bytes: 0x1000,
            parameter_area_index: 0,
            initial_data: vec![],
        },
        D::ParameterArea {
            number_of_bytes: 0x2000,
            parameter_area_index: 7,
            initial_data: b"console=ttyS0".to_vec(),
        },
        D::ParameterArea {
            number_of_bytes: 0x1000,
            parameter_area_index: 1,
            initial_data: pattern(3),
        },
        D::VpCount(parameter(0, 0)),
        D::EnvironmentInfo(parameter(0, 4)),
        D::Srat(parameter(1, 0)),
        D::Madt(parameter(1, 256)),
        D::Slit(parameter(1, 512)),
        D::Pptt(parameter(1, 768)),
        D::MmioRanges(parameter(0, 64)),
        D::MemoryMap(parameter(0, 128)),
        D::CommandLine(parameter(7, 0)),
        D::DeviceTree(parameter(7, 4096)),
        page(0x100000, 31, IgvmPageDataType::NORMAL, 0, pattern(1)),
        page(0x101000, 31, IgvmPageDataType::NORMAL, 0, pattern(2)),
        page(0x102000, 31, IgvmPageDataType::NORMAL, 0, vec![]),
        page(0x103000, 31, IgvmPageDataType::NORMAL, 0, vec![]),
        page(0x104000, 31, IgvmPageDataType::NORMAL, 0, vec![0; 4096]),
        page(0x105000, 31, IgvmPageDataType::NORMAL, 0, vec![9]),
        page(0x106000, 31, IgvmPageDataType::NORMAL, 2, pattern(1)),
        page(0x107000, 31, IgvmPageDataType::NORMAL, 4, pattern(3)),
        page(0x108000, 2, IgvmPageDataType::SECRETS, 0, vec![]),
        page(0x109000, 2, IgvmPageDataType::CPUID_DATA, 0, pattern(4)),
        page(0x10a000, 2, IgvmPageDataType::CPUID_XF, 0, pattern(4)),
        page(0xffff_ffff_f000, 1, IgvmPageDataType::NORMAL, 0, pattern(2)),
        page(0x200000, 1, IgvmPageDataType::NORMAL, 1, pattern(2)),
        D::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: 0x2000,
            compatibility_mask: 31,
            parameter_area_index: 7,
        }),
        D::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: 0x4000,
            compatibility_mask: 31,
            parameter_area_index: 0,
        }),
        D::ErrorRange {
            gpa: 0x5000,
            compatibility_mask: 1,
            size_bytes: 0x1000,
        },
    ];
    let mut vmsa = igvm::snp_defs::SevVmsa::new_box_zeroed().unwrap();
    vmsa.rip = 0xfffffff0;
    vmsa.cr3 = 0x1000;
    let mut nat = IgvmNativeVpContextX64::new_box_zeroed().unwrap();
    nat.rip = 0x1000000;
    nat.rsi = 0x1000;
    nat.cr0 = 0x80000001;
    dir.push(D::SnpVpContext {
        gpa: 0xffff_f000,
        compatibility_mask: 2,
        vp_index: 0,
        vmsa: vmsa.clone(),
    });
    dir.push(D::SnpVpContext {
        gpa: 0xffff_f000,
        compatibility_mask: 2,
        vp_index: 1,
        vmsa,
    });
    dir.push(D::X64NativeVpContext {
        compatibility_mask: 8,
        vp_index: 0,
        context: nat.clone(),
    });
    dir.push(D::X64NativeVpContext {
        compatibility_mask: 16,
        vp_index: 3,
        context: nat,
    });
    dir.push(D::X64VbsVpContext {
        vtl: Vtl::Vtl2,
        compatibility_mask: 1,
        registers: vec![
            X86Register::Rip(0x1234),
            X86Register::Gdtr(TableRegister {
                base: 0x2000,
                limit: 0x1f,
            }),
            X86Register::Cs(SegmentRegister {
                base: 0,
                limit: 0xffffffff,
                selector: 8,
                attributes: 0xa09b,
            }),
        ],
    });
    dir.push(D::SnpIdBlock {
        compatibility_mask: 2,
        author_key_enabled: 1,
        reserved: [0; 3],
        ld: [1; 48],
        family_id: [2; 16],
        image_id: [3; 16],
        version: 1,
        guest_svn: 5,
        id_key_algorithm: 1,
        author_key_algorithm: 1,
        id_key_signature: Box::new(IGVM_VHS_SNP_ID_BLOCK_SIGNATURE {
            r_comp: [4; 72],
            s_comp: [5; 72],
        }),
        id_public_key: Box::new(IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY {
            curve: 2,
            reserved: 0,
            qx: [6; 72],
            qy: [7; 72],
        }),
        author_key_signature: Box::new(IGVM_VHS_SNP_ID_BLOCK_SIGNATURE {
            r_comp: [8; 72],
            s_comp: [9; 72],
        }),
        author_public_key: Box::new(IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY {
            curve: 2,
            reserved: 0,
            qx: [10; 72],
            qy: [11; 72],
        }),
    });
    dir.push(D::VbsMeasurement {
        compatibility_mask: 1,
        version: 1,
        product_id: 2,
        module_id: 3,
        security_version: 4,
        policy_flags: 5,
        boot_digest_algo: 1,
        signing_algo: 1,
        boot_measurement_digest: Box::new([6; 64]),
        signature: Box::new([7; 256]),
        public_key: Box::new([8; 512]),
    });
    IgvmFile::new(
        IgvmRevision::V2 {
            arch: Arch::X64,
            page_size: 4096,
        },
        vec![
            platform(1, IgvmPlatformType::VSM_ISOLATION, 2, 0),
            platform(2, IgvmPlatformType::SEV_SNP, 2, 1 << 39),
            platform(4, IgvmPlatformType::TDX, 0, 1 << 47),
            platform(8, IgvmPlatformType::NATIVE, 0, 0),
            platform(16, IgvmPlatformType::SEV, 0, 0),
            platform(32, IgvmPlatformType::SEV_ES, 0, 0),
        ],
        init,
        dir,
    )
    .unwrap()
}

fn every_header_aarch64() -> IgvmFile {
    let mut cca = IgvmVpContextAArch64Cca::new_box_zeroed().unwrap();
    cca.pc = 0x80000;
    cca.x0 = 0x4000000;
    IgvmFile::new(
        IgvmRevision::V2 {
            arch: Arch::AArch64,
            page_size: 4096,
        },
        vec![
            platform(1, IgvmPlatformType::VSM_ISOLATION, 2, 0),
            platform(2, IgvmPlatformType::CCA, 0, 1 << 47),
        ],
        vec![I::CcaPolicy {
            compatibility_mask: 2,
            attributes_required_zeroes: 1,
            attributes_required_ones: 2,
            hash_algorithm: CcaHashAlgorithm::SHA512,
            lfa_policy: CcaLfaPolicy::LFA_ALLOW,
        }],
        vec![
            page(0x80000, 3, IgvmPageDataType::NORMAL, 0, pattern(5)),
            D::AArch64CcaVpContext {
                compatibility_mask: 2,
                vp_index: 0,
                context: cca,
            },
            D::AArch64VbsVpContext {
                vtl: Vtl::Vtl2,
                compatibility_mask: 1,
                registers: vec![AArch64Register::Pc(0x80000), AArch64Register::Ttbr0El1(0x1000)],
            },
        ],
    )
    .unwrap()
}

fn version_1() -> IgvmFile {
    IgvmFile::new(
        IgvmRevision::V1,
        vec![platform(4, IgvmPlatformType::SEV_SNP, 0, 0)],
        vec![I::GuestPolicy {
            policy: 0x30000,
            compatibility_mask: 4,
        }],
        vec![page(0x1000, 4, IgvmPageDataType::NORMAL, 0, pattern(6))],
    )
    .unwrap()
}
