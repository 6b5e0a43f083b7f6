/** What docs/errors.md says of a code: the usual cause, and what the user should do. One sentence each. */
export interface ErrorInfo {
  readonly cause: string;
  readonly cure: string;
}

/** The manifest and its resources (src/manifest). */
export const MANIFEST_CODES = {
  MANIFEST_SYNTAX: {
    cause:
      'The manifest, the resources file or an initrd.json is not strict JSON: not UTF-8, a comment, a comma or quote amiss.',
    cure: 'Correct the JSON at the place that the message names.',
  },
  MANIFEST_DUPLICATE_KEY: {
    cause: 'An object has the same key twice, so that one of the two values would be lost.',
    cure: 'Remove one of the two.',
  },
  MANIFEST_INVALID: {
    cause: 'The manifest or an initrd.json has a value that is missing, of the wrong type or out of range.',
    cure: 'Correct the value; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_UNKNOWN_KEY: {
    cause:
      'The manifest has a key that means nothing there, and such keys are not allowed in that place or in strict mode.',
    cure: 'Correct the spelling or remove the key; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_CONFLICT: {
    cause:
      'Each value is valid on its own but they do not go together, or the image cannot be built for that platform.',
    cure: 'Change one of the values that the message names.',
  },
  RESOURCE_MISSING: {
    cause: 'An image needs a kernel, initrd, firmware or shim that the resources do not name.',
    cure: 'Add the resource to "resources" in the manifest, or to the separate resources file.',
  },
  RESOURCE_PATH: {
    cause:
      'The path of a resource cannot be resolved: a pattern without exactly one match, no workspace, or a relative path in a separate resources file.',
    cure: 'Correct the path; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists the forms that a resource can take.',
  },
  COMMAND_LINE_TEXT: {
    cause:
      'The file of the resource "linux_command_line" is not text that a kernel can read as part of its command line: empty, of several lines, too large, or with other characters than printable ASCII.',
    cure: 'Let the file hold one line of printable ASCII, with a closing quotation mark for each opening one; blanks and a line break around it do no harm.',
  },
  RESOURCE_DIGEST: {
    cause: 'A resource is not the file whose SHA-256 the manifest states.',
    cure: 'Restore the file that was pinned, or review the new one and put its SHA-256 into the manifest.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Resources that a URL names (src/resources). */
export const DOWNLOAD_CODES = {
  RESOURCE_UNPINNED: {
    cause:
      'A resource names a URL without the SHA-256 of what is to be found there, so that it could be another file every time.',
    cure: 'Review the file, and put its SHA-256 beside the URL; `nx-igvm fetch URL` prints a resource to paste.',
  },
  DOWNLOAD_FAILED: {
    cause:
      'A URL could not be downloaded, and the file is not among the downloads that are kept: the server, the network, a proxy or a certificate is in the way.',
    cure: 'Check the URL and the network, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY; run it again, and it goes on where it broke off.',
  },
  DOWNLOAD_REFUSED: {
    cause:
      'A URL is not one of http or https, leads through too many redirects or from https to http, or to a file that is larger than the limit.',
    cure: 'Name the file by its own URL; the option downloadLimit (--download-limit) takes larger files.',
  },
  ARCHIVE_INVALID: {
    cause:
      'An archive that a member is to be read from is damaged, of a kind that is not known, or larger than the limit.',
    cure: 'Name an archive in one of the formats of https://github.com/nx-igvm/nx-igvm/blob/main/docs/downloads.md, or the file itself.',
  },
  ARCHIVE_MEMBER: {
    cause: 'An archive has no file of the name that `member` states.',
    cure: 'Correct the path; `tar -tf`, `dpkg-deb -c`, `rpm -qlp` and `unzip -l` list what is in an archive.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Reading and writing files (src/files). */
export const FILE_CODES = {
  FILE_UNREADABLE: {
    cause: 'A file that is needed does not exist, is not a regular file, or may not be read.',
    cure: 'Give the path of a file that exists and may be read.',
  },
  FILE_CHANGED: {
    cause: 'A file became shorter or longer, or was written to, while it was being read.',
    cure: 'Run it again when nothing writes to the file any more.',
  },
  FILE_UNWRITABLE: {
    cause:
      'An output could not be written: the folder is missing or read-only, the disk is full, or the path is a directory, a symbolic link or a device.',
    cure: 'Check the output path, its permissions and the free space.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Laying out the guest (src/loader, src/vp-context). */
export const LOADER_CODES = {
  LAYOUT_OVERLAP: {
    cause: 'Two parts of the guest need the same memory.',
    cure: 'Move or shrink one of the parts that the message names.',
  },
  LAYOUT_OUT_OF_RANGE: {
    cause: 'A part of the guest lies at an address, or has a size, that the guest or the file format cannot have.',
    cure: 'Give the guest other addresses, more memory or smaller parts, as the message says.',
  },
  KERNEL_INVALID: {
    cause: 'The kernel is not a file that can be loaded: wrong format, architecture or damaged.',
    cure: 'Use a kernel of the right format and architecture.',
  },
  FIRMWARE_INVALID: {
    cause: 'The UEFI firmware has the wrong size, damaged metadata, or nothing in it that a guest could start.',
    cure: 'Use a build of UEFI for Hyper-V (MSVM.fd) for the architecture of the guest, or of OVMF for `ovmf` images and `nx-igvm wrap`.',
  },
  OVMF_UNSUITABLE: {
    cause:
      'A program was to be put into an image, or taken out, whose firmware does not look for one: it is no OVMF, or OVMF without a HOB area. Or SEV-SNP was asked for, and the metadata of the firmware has no pages for it.',
    cure: 'Take a build of OVMF that takes a kernel from an IGVM file, such as OVMF.amdsev.fd of edk2-stable202511 or newer.',
  },
  EFI_DATA_INVALID: {
    cause:
      'An EFI program is damaged or no 64-bit program, a UKI lacks the section that a resource takes out of it, or a file with keys for Secure Boot is damaged, or has keys that OVMF does not take.',
    cure: 'Give an EFI program (PE32+), such as a kernel with an EFI stub or a UKI; `nx-igvm update` without hashes in db takes any file. Keys are certificates (PEM or DER, of RSA keys), signature lists (.esl) or an update of a variable (.auth).',
  },
  CONFIG_UNSUPPORTED: {
    cause: 'The options of the image are each valid, but not together, or not on this architecture or isolation type.',
    cure: 'Change one of the options that the message names.',
  },
  ISOLATION_UNSUPPORTED: {
    cause: 'The image asks for an isolation option that its kind of guest cannot run with.',
    cure: 'Change the isolation option that the message names.',
  },
  EXTERNAL_LOADER_FAILED: {
    cause: 'The igvmfilegen program given as loader could not be started, failed, or wrote no image.',
    cure: 'Read its messages above; check the path of the loader, or leave the option out.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The IGVM file format (src/igvm). */
export const FORMAT_CODES = {
  IGVM_MALFORMED: {
    cause: 'The file is not a valid IGVM file: a header, offset, size or count contradicts the format.',
    cure: 'Check that the file is an IGVM file and was copied whole; build it again if it was.',
  },
  IGVM_UNSUPPORTED: {
    cause: 'The file uses a part of the IGVM format that this version does not know.',
    cure: 'Use a newer nx-igvm, or a file without that part.',
  },
  IGVM_IN_DLL: {
    cause: 'An image inside a firmware DLL should be changed, which is possible for images in files of their own only.',
    cure: 'Sign or change the .igvm file that the DLL was made from, and make the DLL again.',
  },
  IGVM_TOO_LARGE: {
    cause: 'The image needs more than 4 GiB: the format addresses file data with 32 bits.',
    cure: 'Use a smaller initrd or fewer memory pages.',
  },
  MAP_INVALID: {
    cause: 'The map file that was given does not fit the image, or contradicts itself.',
    cure: 'Give the map file that was written together with the image.',
  },
  IGVM_INVALID: {
    cause: 'The headers contradict each other or the rules of the format.',
    cure: 'Correct the part of the image that the message names.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Measurement, endorsement and signatures (src/measurement, src/endorsement, src/attestation). */
export const ENDORSEMENT_CODES = {
  MEASUREMENT_UNAVAILABLE: {
    cause: 'The image has no guest for the platform that should be measured.',
    cure: 'Choose a platform that the image has. Only SEV-SNP, TDX and VBS have launch measurements.',
  },
  MEASUREMENT_REFUSED: {
    cause: 'The VMM does not launch the guest, so there is no launch digest that it would report.',
    cure: 'Change what the message names, or ask for another VMM. nx-igvm lint lists everything that VMMs refuse.',
  },
  LAUNCH_INVALID: {
    cause:
      'A launch names an unknown VMM, a count of vCPUs or a processor that is none, or lacks one that the digest depends on.',
    cure: 'See https://github.com/nx-igvm/nx-igvm/blob/main/docs/launch-digests.md for the VMMs and for what the digest of each depends on.',
  },
  MEASUREMENT_IMPOSSIBLE: {
    cause: 'The file contains something that the platform cannot launch, so it has no launch digest.',
    cure: 'Check the part of the file that the message names; igvmfilegen and nx-igvm never write such a file.',
  },
  ID_BLOCK_INVALID: {
    cause:
      'The SNP ID block, its signature or its public key is damaged, or they do not belong to each other or to the image.',
    cure: 'Sign the .idblock file that was built together with this image, with an ECDSA P-384 key, and give the key that signed it.',
  },
  ID_BLOCK_PRESENT: {
    cause: 'The image already has an SNP ID block, and a second one would make it ambiguous.',
    cure: 'Start from the image as it was built.',
  },
  CORIM_MISSING: {
    cause: 'The image has no CoRIM document for the platform whose signature should be added.',
    cure: 'Choose a platform that the image has a document for (dump-corim lists them), or build the image again, without "embed_corim": false.',
  },
  CORIM_INVALID: {
    cause: 'The CoRIM document in the image is not the one that its launch digest and security version give.',
    cure: 'Build the image again, and find out what changed the document: a signature would endorse something else than the image.',
  },
  CORIM_SIGNATURE_INVALID: {
    cause: 'The CoRIM signature is damaged, of a kind that is not supported, or was made over another document.',
    cure: "Sign the image's own CoRIM document with PS384, as a COSE_Sign1 that carries the signer's certificate.",
  },
  STATEMENT_SIGNING: {
    cause: 'A statement about an image could not be signed: no usable key, or the program that signs failed.',
    cure: 'Give a private key of P-256, P-384 or Ed25519 in PEM, or a program that prints a signature by the public key.',
  },
  EVIDENCE_INVALID: {
    cause: 'A file is not the evidence of a guest: no attestation report or quote, or a damaged one.',
    cure: 'Give the file as the guest got it: the report or quote itself, as bytes or as hexadecimal digits. https://github.com/nx-igvm/nx-igvm/blob/main/docs/verify-report.md lists the forms.',
  },
  CERTIFICATE_INVALID: {
    cause: 'A certificate or a revocation list is damaged, or is none.',
    cure: 'Get it again from its maker, in DER or PEM. A certificate that was changed proves nothing.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The measurement lock (src/lock). */
export const LOCK_CODES = {
  LOCK_MISSING: {
    cause: 'An image should be checked against its measurement lock, and there is none.',
    cure: 'Write it with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), review it, and commit it beside the manifest.',
  },
  LOCK_INVALID: {
    cause: 'The measurement lock is not in the format of this version: an older or newer one, or changed by hand.',
    cure: 'Write it again with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), and review what changes.',
  },
  LOCK_MISMATCH: {
    cause: 'The image measures differently than its lock says, or is something else than the lock describes.',
    cure: 'If the change is meant, write the lock again with "nx run PROJECT:measure --update-lock" and have it reviewed; otherwise find out what changed what is named.',
  },
  DEBUG_NOT_ALLOWED: {
    cause:
      "The host may debug a guest of the image, and so read its memory, and the image's lock doesn't say that this is meant.",
    cure: 'Turn enable_debug off in the manifest; or, if it is meant, write the lock with "nx run PROJECT:measure --update-lock --allow-debug" and have its "debug": true reviewed.',
  },
  PAGES_OVERLAP: {
    cause:
      'The image has two pages for one address of a guest. Loaders differ in what they do with them, so nothing says what the guest gets.',
    cure: 'Build the image again. No image of nx-igvm or igvmfilegen has such pages; "nx-igvm dump" shows them.',
  },
  SIBLINGS_STALE: {
    cause:
      'A document about the image, beside it or inside, or its map, is not the one that a build of the image writes.',
    cure: 'Build the image again, and keep the files of one build together.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Packing an initramfs (src/initrd). */
export const INITRD_CODES = {
  INITRD_ENTRY: {
    cause:
      'Something in the folder, or in the lists beside it, has no place in an initramfs, or Linux would leave it out or change it.',
    cure: 'An initramfs holds files below 4 GiB, folders, symbolic links and listed devices, each path once. https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md lists what Linux takes.',
  },
  CONTAINER_IMAGE: {
    cause:
      'What "image" in an initrd.json names is no container image that can be read, or has several and none that is meant: not an OCI layout, OCI archive or docker archive, damaged, for another processor, or with layers in an unknown form.',
    cure: 'Give the folder of an OCI layout, or an archive as `docker save`, `skopeo copy`, `buildah push` or `umoci` make it. https://github.com/nx-igvm/nx-igvm/blob/main/docs/containers.md lists the forms.',
  },
  CONTAINER_DIGEST: {
    cause: 'A part of a container image is not what the image itself says that it is: it was changed or damaged.',
    cure: 'Build or fetch the image again.',
  },
  CONTAINER_LAYER: {
    cause:
      'A layer of a container image is no archive that can be read, or has something that an initramfs must not or cannot hold: a path out of the image, a device, a file of 4 GiB, or too much of all.',
    cure: 'Build the image without what the message names. https://github.com/nx-igvm/nx-igvm/blob/main/docs/containers.md lists what is taken.',
  },
  CONTAINER_PROCESS: {
    cause:
      'The guest has nothing to run, or cannot run it: the image states no command, one that is not in it, or a user or folder that it does not have.',
    cure: 'Correct ENTRYPOINT, CMD, USER or WORKDIR of the image, or state "command" in initrd.json.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Running an image (src/boot). */
export const BOOT_CODES = {
  VMM_MISSING: {
    cause: 'No virtual machine monitor that can boot the image was found.',
    cure: 'Install QEMU or Cloud Hypervisor, or name one with --vmm-path.',
  },
  VMM_FAILED: {
    cause: 'The virtual machine monitor could not be started, or gave up.',
    cure: 'Read what it printed; extra arguments after -- go to it unchanged.',
  },
  VMM_UNSUPPORTED: {
    cause: 'The chosen virtual machine monitor cannot do what an option asks for.',
    cure: 'Drop the option, or choose another monitor with --vmm.',
  },
  KVM_UNUSABLE: {
    cause: 'KVM is needed or was asked for, but this machine has none that runs a 64-bit guest.',
    cure: 'Use --accel tcg with QEMU, or a machine with hardware virtualization and access to /dev/kvm.',
  },
  BOOT_PLATFORM: {
    cause: 'The image has no NATIVE x64 guest; guests of other platforms need a paravisor or confidential hardware.',
    cure: 'Boot it on the platform that the message names, or build a linux image with isolation_type none.',
  },
  BOOT_CONTEXT: {
    cause: 'The VP context of the image describes a state that a PVH boot cannot reach, or the image is firmware.',
    cure: 'Use 64-bit mode with 4-level page tables below 4 GiB, as linux images do, and one VP context. Firmware boots, but cannot be exported.',
  },
  BOOT_LAYOUT: {
    cause: 'The pages of the image lie where a boot cannot put them.',
    cure: 'Keep pages of a kernel out of 0xa0000-0xfffff, leave a gap above 1 MiB, and identity-map it; for firmware, use a QEMU that loads IGVM files itself.',
  },
  BOOT_PARAMETER: {
    cause: 'A parameter of the image cannot be filled in as asked.',
    cure: 'Check the command line, memory and processor count that were asked for.',
  },
  BOOT_MEMORY: {
    cause: 'The virtual machine would have less memory than the image needs, or it would lie in the wrong place.',
    cure: 'Give it more with --memory, or build the image for less.',
  },
  BOOT_NO_MATCH: {
    cause: 'The guest ended, or the time was over, before its output matched --until.',
    cure: "Read the guest's output; give it more time with --timeout.",
  },
  BOOT_TIMEOUT: {
    cause: 'The guest was still running when the time was over.',
    cure: 'Give it more time with --timeout, or say with --until what it prints when it is done.',
  },
  BOOT_STOPPED: {
    cause: 'The run was stopped from outside before the guest had shown what was waited for.',
    cure: 'Run it again; if a time limit of something else stopped it, give that more time than --timeout.',
  },
  BOOT_WAY: {
    cause: 'The image cannot get into the virtual machine the way that --way asks for, or not with the other options.',
    cure: 'Leave --way out, which takes a way that the image can go, or build the image for that monitor.',
  },
  BOOT_OPTION: {
    cause: 'An option of boot or export has a value that makes no sense.',
    cure: 'Correct the value; see --help.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The command line (src/cli), and git, which it asks about locks. */
export const CLI_CODES = {
  USAGE: {
    cause: 'The command line has an option or argument that does not fit.',
    cure: 'See --help.',
  },
  GIT_FAILED: {
    cause:
      'The history of a lock was asked for, and git could not tell it: no git, no repository, or no such revision.',
    cure: 'Run it in a clone with its history (in CI: fetch all commits), and name revisions as "git log" takes them.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The Nx side (src/plugin, src/executors, src/generators). */
export const NX_CODES = {
  NX_TARGET_UNKNOWN: {
    cause: 'The manifest uses the output of a project or target that does not exist in the workspace.',
    cure: 'Correct the project and target names.',
  },
  NX_OUTPUT_UNDECLARED: {
    cause: 'The manifest uses a file that is no declared output of the target it names, so Nx would not see it change.',
    cure: 'Correct the path, which is relative to the workspace, or add the file to the "outputs" of that target.',
  },
  NX_TARGET_UNCACHED: {
    cause:
      'The manifest uses the output of a target that Nx does not cache. Such a target may do anything, a deployment for instance, and a manifest does not look like code.',
    cure: 'Give the target "cache": true if it does nothing but make its outputs, or name it in the plugin\'s option "resourceTargets" in nx.json.',
  },
  BUILD_FIRST: {
    cause:
      'A measurement lock or a statement should follow its image, which is not built, or not from the files as they are now.',
    cure: 'Build the images that the message names, then run it again.',
  },
  SIGN_OPTION: {
    cause: 'An image should be signed, and the options do not say with what, or contradict each other.',
    cure: 'Give a signed ID block (idBlock, idSignature, idPublicKey), temporaryKey for development, or a CoRIM signature with its platform.',
  },
  NX_OPTION_INVALID: {
    cause:
      'A target, or the command line, gives its executor an option that it does not know, or not one that it needs.',
    cure: "Correct the target's options; https://github.com/nx-igvm/nx-igvm/tree/main/docs/executors has a page on each executor.",
  },
  NX_OPTION_UNTRACKED: {
    cause:
      'A cacheable target was run with a file that only the command line names, so Nx would not see the file change.',
    cure: 'Put the option into the target, or into one of its configurations: in project.json, package.json, the options of the plugin in nx.json, or its targetDefaults.',
  },
  NX_KEY_REPLACED: {
    cause:
      'A list of an inferred target ("inputs", "outputs" or "dependsOn") is replaced in nx.json, project.json or package.json, or its "cache" is, so that an old image could be reported as a new one.',
    cure: 'Run "nx g nx-igvm:init", which keeps targetDefaults from replacing inferred lists, or put "..." into the list (Nx 23 and later; in the options of the plugin in nx.json it is known to all). If you mean it, name the key in the option "ownKeys" of the target.',
  },
  NX_BATCH_HASHES: {
    cause:
      'An image is made of another image of its batch, and Nx 21 and 22 hash it before that is written: the cache would have the new image under the hash of the old one.',
    cure: 'Write "parallelism": false into the target in project.json, which keeps it out of batches, run Nx with --batch=false, or update the workspace to Nx 23.',
  },
  NX_VERSION_UNSUPPORTED: {
    cause: 'The workspace has an Nx that is older than the plugin supports, or none.',
    cure: 'Update the workspace with "nx migrate latest".',
  },
  GENERATOR_OPTION: {
    cause: 'A generator was given an option that does not fit what it should generate.',
    cure: 'Correct the option; "nx g nx-igvm:NAME --help" lists them.',
  },
  GENERATOR_CONFLICT: {
    cause: 'A generator would overwrite a project or a file that is already there.',
    cure: 'Choose another name or directory.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Every user-visible error code. docs/errors.md is generated from this table. */
export const ERROR_CODES = {
  ...FILE_CODES,
  ...FORMAT_CODES,
  ...MANIFEST_CODES,
  ...DOWNLOAD_CODES,
  ...LOADER_CODES,
  ...ENDORSEMENT_CODES,
  ...LOCK_CODES,
  ...INITRD_CODES,
  ...BOOT_CODES,
  ...CLI_CODES,
  ...NX_CODES,
} as const satisfies Record<string, ErrorInfo>;

/** A key of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;
