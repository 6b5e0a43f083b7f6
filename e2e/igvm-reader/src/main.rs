//! An independent reader: reads IGVM files with the igvm crate and prints every header as one line of JSON, with the field
//! names of src/igvm/model.ts, and the launch digests of the crate's serializer. CoRIMs (`.cbor`) are read with the corim crate.
mod corim_lines;

use igvm::*;
use igvm_defs::*;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use std::env::args;
use std::fs;
use zerocopy::IntoBytes;
use IgvmDirectiveHeader as D;
use IgvmInitializationHeader as I;

fn main() {
    for path in args().skip(1) {
        let bytes = fs::read(&path).expect("a file");
        if path.ends_with(".cbor") {
            corim_lines::print(&bytes);
            continue;
        }
        let file = match IgvmFile::new_from_binary(&bytes, None) {
            Ok(file) => file,
            Err(error) => {
                println!("{}", json!({ "error": error.to_string() }));
                continue;
            }
        };
        for IgvmPlatformHeader::SupportedPlatform(header) in file.platforms() {
            println!("{}", platform(header));
        }
        for header in file.initializations() {
            println!("{}", initialization(header));
        }
        for header in file.directives() {
            println!("{}", directive(header));
        }
        let serializer = IgvmSerializer::new(&file).expect("measurable");
        for measurement in serializer.measurements() {
            println!(
                "{}",
                json!({
                    "type": "measurement",
                    "compatibilityMask": measurement.compatibility_mask,
                    "digest": hex(&measurement.digest),
                })
            );
        }
        println!("{}", json!({ "type": "end" }));
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bits(value: u64) -> String {
    format!("{value:#x}")
}

/// SHA-256 of stored data, padded with zeros to `size` bytes as a loader would; "empty" if there is none.
fn data(bytes: &[u8], size: usize) -> String {
    if bytes.is_empty() {
        return "empty".into();
    }
    let mut padded = bytes.to_vec();
    padded.resize(size, 0);
    hex(&Sha256::digest(&padded))
}

fn platform(header: &IGVM_VHS_SUPPORTED_PLATFORM) -> Value {
    json!({
        "type": "platform",
        "compatibilityMask": header.compatibility_mask,
        "highestVtl": header.highest_vtl,
        "platformType": header.platform_type.0,
        "platformVersion": header.platform_version,
        "sharedGpaBoundary": bits(header.shared_gpa_boundary),
    })
}

fn initialization(header: &I) -> Value {
    match header {
        I::GuestPolicy {
            policy,
            compatibility_mask,
        } => json!({
            "type": "guestPolicy",
            "policy": bits(*policy),
            "compatibilityMask": compatibility_mask,
        }),
        I::RelocatableRegion {
            compatibility_mask,
            relocation_alignment,
            relocation_region_gpa,
            relocation_region_size,
            minimum_relocation_gpa,
            maximum_relocation_gpa,
            is_vtl2,
            apply_rip_offset,
            apply_gdtr_offset,
            vp_index,
            vtl,
        } => json!({
            "type": "relocatableRegion",
            "compatibilityMask": compatibility_mask,
            "vpIndex": vp_index,
            "vtl": *vtl as u8,
            "isVtl2": is_vtl2,
            "applyPc": apply_rip_offset,
            "applyGdtr": apply_gdtr_offset,
            "relocationAlignment": relocation_alignment,
            "gpa": relocation_region_gpa,
            "size": relocation_region_size,
            "minimumGpa": minimum_relocation_gpa,
            "maximumGpa": maximum_relocation_gpa,
        }),
        I::PageTableRelocationRegion {
            compatibility_mask,
            gpa,
            size,
            used_size,
            vp_index,
            vtl,
        } => json!({
            "type": "pageTableRelocation",
            "compatibilityMask": compatibility_mask,
            "vpIndex": vp_index,
            "vtl": *vtl as u8,
            "gpa": gpa,
            "size": size,
            "usedSize": used_size,
        }),
        I::CorimDocument {
            compatibility_mask,
            document,
        } => json!({
            "type": "corimDocument",
            "compatibilityMask": compatibility_mask,
            "content": hex(document),
        }),
        I::CorimSignature {
            compatibility_mask,
            signature,
        } => json!({
            "type": "corimSignature",
            "compatibilityMask": compatibility_mask,
            "content": hex(signature),
        }),
        other => json!({ "type": format!("{other:?}") }),
    }
}

fn parameter(kind: &str, header: &IGVM_VHS_PARAMETER) -> Value {
    json!({
        "type": "parameter",
        "kind": kind,
        "index": header.parameter_area_index,
        "byteOffset": header.byte_offset,
    })
}

fn context(format: &str, gpa: u64, compatibility_mask: u32, vp_index: u16, bytes: &[u8]) -> Value {
    json!({
        "type": "vpContext",
        "format": format,
        "gpa": gpa,
        "compatibilityMask": compatibility_mask,
        "vpIndex": vp_index,
        "data": data(bytes, PAGE_SIZE_4K as usize),
    })
}

/// The context as it is stored: a count, and the registers of Hyper-V's interface.
fn vbs_context(compatibility_mask: u32, registers: &[VbsVpContextRegister]) -> Value {
    let mut bytes = (registers.len() as u32).to_le_bytes().to_vec();
    for register in registers {
        bytes.extend_from_slice(register.as_bytes());
    }
    json!({
        "type": "vpContext",
        "format": "vbs",
        "gpa": 0,
        "compatibilityMask": compatibility_mask,
        "vpIndex": 0,
        "data": data(&bytes, bytes.len()),
    })
}

fn directive(header: &D) -> Value {
    match header {
        D::PageData {
            gpa,
            compatibility_mask,
            flags,
            data_type,
            data: page,
        } => json!({
            "type": "pageData",
            "gpa": gpa,
            "compatibilityMask": compatibility_mask,
            "flags": u32::from(*flags),
            "dataType": data_type.0,
            "data": data(page, PAGE_SIZE_4K as usize),
        }),
        D::ParameterArea {
            number_of_bytes,
            parameter_area_index,
            initial_data,
        } => json!({
            "type": "parameterArea",
            "size": number_of_bytes,
            "index": parameter_area_index,
            "initialData": data(initial_data, *number_of_bytes as usize),
        }),
        D::VpCount(header) => parameter("vpCount", header),
        D::EnvironmentInfo(header) => parameter("environmentInfo", header),
        D::Srat(header) => parameter("srat", header),
        D::Madt(header) => parameter("madt", header),
        D::Slit(header) => parameter("slit", header),
        D::Pptt(header) => parameter("pptt", header),
        D::MmioRanges(header) => parameter("mmioRanges", header),
        D::MemoryMap(header) => parameter("memoryMap", header),
        D::CommandLine(header) => parameter("commandLine", header),
        D::DeviceTree(header) => parameter("deviceTree", header),
        D::RequiredMemory {
            gpa,
            compatibility_mask,
            number_of_bytes,
            vtl2_protectable,
        } => json!({
            "type": "requiredMemory",
            "gpa": gpa,
            "compatibilityMask": compatibility_mask,
            "size": number_of_bytes,
            "vtl2Protectable": vtl2_protectable,
        }),
        D::SnpVpContext {
            gpa,
            compatibility_mask,
            vp_index,
            vmsa,
        } => context("snp", *gpa, *compatibility_mask, *vp_index, vmsa.as_bytes()),
        D::X64NativeVpContext {
            compatibility_mask,
            vp_index,
            context: native,
        } => context("native", 0, *compatibility_mask, *vp_index, native.as_bytes()),
        D::X64VbsVpContext {
            vtl,
            registers,
            compatibility_mask,
        } => {
            let registers: Vec<_> = registers
                .iter()
                .map(|register| register.into_vbs_vp_context_reg(*vtl))
                .collect();
            vbs_context(*compatibility_mask, &registers)
        }
        D::AArch64VbsVpContext {
            vtl,
            registers,
            compatibility_mask,
        } => {
            let registers: Vec<_> = registers
                .iter()
                .map(|register| register.into_vbs_vp_context_reg(*vtl))
                .collect();
            vbs_context(*compatibility_mask, &registers)
        }
        D::ParameterInsert(header) => json!({
            "type": "parameterInsert",
            "gpa": header.gpa,
            "compatibilityMask": header.compatibility_mask,
            "index": header.parameter_area_index,
        }),
        D::ErrorRange {
            gpa,
            compatibility_mask,
            size_bytes,
        } => json!({
            "type": "errorRange",
            "gpa": gpa,
            "compatibilityMask": compatibility_mask,
            "size": size_bytes,
        }),
        D::SnpIdBlock {
            compatibility_mask,
            ld,
            family_id,
            image_id,
            version,
            guest_svn,
            id_key_signature,
            id_public_key,
            ..
        } => json!({
            "type": "snpIdBlock",
            "compatibilityMask": compatibility_mask,
            "ld": hex(ld),
            "familyId": hex(family_id),
            "imageId": hex(image_id),
            "version": version,
            "guestSvn": guest_svn,
            "r": hex(&id_key_signature.r_comp),
            "s": hex(&id_key_signature.s_comp),
            "qx": hex(&id_public_key.qx),
            "qy": hex(&id_public_key.qy),
        }),
        other => json!({ "type": format!("{other:?}") }),
    }
}
