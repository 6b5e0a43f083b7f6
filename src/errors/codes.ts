/**
 * All error codes, in one table. It is longer than other files on purpose: docs/errors.md is generated from it, and whoever adds a code
 * should first look for an existing one.
 */

/** What docs/errors.md says about a code: the usual cause, and what the user should do. */
export interface ErrorInfo {
  readonly cause: string;
  readonly cure: string;
}

/** The manifest and its resources (src/manifest). */
export const MANIFEST_CODES = {
  MANIFEST_SYNTAX: {
    cause:
      'The manifest, the resources file or an initrd.json is not strict JSON: it is not UTF-8, or has a comment, a stray comma or a wrong quotation mark.',
    cure: 'Correct the JSON at the place named in the message.',
  },
  MANIFEST_DUPLICATE_KEY: {
    cause: 'An object has the same key twice, so that one of the two values would be lost.',
    cure: 'Remove one of the two.',
  },
  MANIFEST_INVALID: {
    cause: 'A value in the manifest or an initrd.json is missing, of the wrong type or out of range.',
    cure: 'Correct the value; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_UNKNOWN_KEY: {
    cause: 'The manifest has an unknown key in a place where unknown keys are errors, or anywhere in strict mode.',
    cure: 'Correct the spelling or remove the key; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_CONFLICT: {
    cause: 'The values are valid, but contradict each other, or the image cannot be built for that platform.',
    cure: 'Change one of the values named in the message.',
  },
  RESOURCE_MISSING: {
    cause: 'An image needs a kernel, initrd, firmware or shim that the resources do not name.',
    cure: 'Add the resource to "resources" in the manifest, or to the separate resources file.',
  },
  RESOURCE_PATH: {
    cause:
      'The path of a resource cannot be resolved: a pattern that does not match exactly one file, a path that needs a workspace where there is none, or a relative path in a separate resources file.',
    cure: 'Correct the path; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists the forms that a resource can have.',
  },
  COMMAND_LINE_TEXT: {
    cause:
      'The file of the resource "linux_command_line" cannot be added to a kernel command line: it is empty or too large, has several lines, or has characters other than printable ASCII.',
    cure: 'Put one line of printable ASCII into the file, and close every quotation mark. Blanks and a line break around the line are ignored.',
  },
  RESOURCE_DIGEST: {
    cause: 'A resource does not have the SHA-256 that the manifest states.',
    cure: 'Restore the pinned file, or review the new one and put its SHA-256 into the manifest.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Resources that a URL names (src/resources). */
export const DOWNLOAD_CODES = {
  RESOURCE_UNPINNED: {
    cause: 'A resource names a URL without a SHA-256, so each download could be a different file.',
    cure: 'Review the file, and put its SHA-256 beside the URL; `nx-igvm fetch URL` prints a resource to paste.',
  },
  DOWNLOAD_FAILED: {
    cause:
      'A URL could not be downloaded because of the server, the network, a proxy or a certificate, and no earlier download of the file is kept.',
    cure: 'Check the URL and the network, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY. The next run continues where the download stopped.',
  },
  DOWNLOAD_REFUSED: {
    cause:
      'A URL is neither http nor https, redirects too often or from https to http, or leads to a file that is larger than the limit.',
    cure: 'Use the direct URL of the file. The option downloadLimit (--download-limit) allows larger files.',
  },
  ARCHIVE_INVALID: {
    cause: 'The archive that should hold a resource is damaged, has an unknown format, or is larger than the limit.',
    cure: 'Use an archive in one of the formats listed in https://github.com/nx-igvm/nx-igvm/blob/main/docs/downloads.md, or the file itself.',
  },
  ARCHIVE_MEMBER: {
    cause: 'The archive has no file with the path in `member`.',
    cure: 'Correct the path; `tar -tf`, `dpkg-deb -c`, `rpm -qlp` and `unzip -l` list the files in an archive.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Reading and writing files (src/files). */
export const FILE_CODES = {
  FILE_UNREADABLE: {
    cause: 'A file that is needed does not exist, is not a regular file, or cannot be read.',
    cure: 'Give the path of an existing file that you may read.',
  },
  FILE_CHANGED: {
    cause: 'A file was changed while it was being read.',
    cure: 'Run the command again when nothing writes to the file any more.',
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
    cause: 'Two parts of the guest would occupy the same memory.',
    cure: 'Move or shrink one of the parts named in the message.',
  },
  LAYOUT_OUT_OF_RANGE: {
    cause: 'A part of the guest has an address or a size that the guest or the file format does not allow.',
    cure: 'Use other addresses, more memory or smaller parts, as the message says.',
  },
  KERNEL_INVALID: {
    cause: 'The kernel cannot be loaded: it has the wrong format or architecture, or is damaged.',
    cure: 'Use a kernel of the right format and architecture.',
  },
  INITRD_INVALID: {
    cause: 'The initrd is another kind of file, or an initramfs with nothing that Linux could start.',
    cure: 'Name an initramfs with a program `/init`, or name the program to start with `rdinit=` in the command line.',
  },
  FIRMWARE_INVALID: {
    cause: 'The UEFI firmware has the wrong size, has damaged metadata, or contains nothing that a guest could start.',
    cure: 'Use a build of UEFI for Hyper-V (MSVM.fd) for the architecture of the guest; for `ovmf` images and `nx-igvm wrap`, a build of OVMF.',
  },
  OVMF_UNSUITABLE: {
    cause:
      'A program was to be put into an image or taken out of it, but the firmware of the image does not look for one: it is not OVMF, or it is OVMF without a HOB area. Or SEV-SNP was requested, but the metadata of the firmware has no pages for it.',
    cure: 'Use a build of OVMF that takes a kernel from an IGVM file, such as OVMF.amdsev.fd of edk2-stable202511 or newer.',
  },
  EFI_DATA_INVALID: {
    cause:
      'An EFI program is damaged or is not a 64-bit program; a UKI lacks the section that a resource takes from it; or a file of Secure Boot keys is damaged or has keys that OVMF does not accept.',
    cure: 'Use an EFI program (PE32+), such as a kernel with an EFI stub or a UKI; `nx-igvm update` without hashes in db accepts any file. Keys are certificates (PEM or DER, with RSA keys), signature lists (.esl) or updates of a variable (.auth).',
  },
  CONFIG_UNSUPPORTED: {
    cause:
      'Each option of the image is valid, but not together with the others, or not with this architecture or isolation type.',
    cure: 'Change one of the options named in the message.',
  },
  ISOLATION_UNSUPPORTED: {
    cause: 'The image sets an isolation option that its kind of guest cannot run with.',
    cure: 'Change the isolation option named in the message.',
  },
  EXTERNAL_LOADER_FAILED: {
    cause: 'The igvmfilegen program that is set as the loader could not be started, failed, or wrote no image.',
    cure: 'Read its messages above. Check the path of the loader, or leave the option out.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The IGVM file format (src/igvm). */
export const FORMAT_CODES = {
  IGVM_MALFORMED: {
    cause: 'The file is not a valid IGVM file: a header, offset, size or count contradicts the format.',
    cure: 'Check that the file is an IGVM file and was copied completely. If it was, build it again.',
  },
  IGVM_UNSUPPORTED: {
    cause: 'The file uses a part of the IGVM format that this version does not know.',
    cure: 'Use a newer nx-igvm, or a file without that part.',
  },
  IGVM_IN_DLL: {
    cause: 'An image inside a firmware DLL was to be changed, but only an image in a file of its own can be.',
    cure: 'Sign or change the .igvm file that the DLL was made from, and make the DLL again.',
  },
  IGVM_TOO_LARGE: {
    cause: 'The image needs more than 4 GiB, but the format addresses file data with 32 bits.',
    cure: 'Use a smaller initrd or fewer memory pages.',
  },
  MAP_INVALID: {
    cause: 'The map file that was given does not fit the image, or contradicts itself.',
    cure: 'Give the map file that was written together with the image.',
  },
  IGVM_INVALID: {
    cause: 'The headers contradict each other or break a rule of the format.',
    cure: 'Correct the part of the image named in the message.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Measurement, endorsement and signatures (src/measurement, src/endorsement, src/attestation). */
export const ENDORSEMENT_CODES = {
  MEASUREMENT_UNAVAILABLE: {
    cause: 'The image has no guest for the platform that was to be measured.',
    cure: 'Choose a platform that the image has. Only SEV-SNP, TDX and VBS have launch measurements.',
  },
  MEASUREMENT_REFUSED: {
    cause: 'The VMM would not launch the guest, so no guest would ever report a launch digest.',
    cure: 'Change what the message names, or choose another VMM. `nx-igvm lint` lists everything that VMMs refuse.',
  },
  LAUNCH_INVALID: {
    cause:
      'A launch names an unknown VMM or processor or an invalid number of vCPUs, or lacks one that the digest depends on.',
    cure: 'See https://github.com/nx-igvm/nx-igvm/blob/main/docs/launch-digests.md for the VMMs, and for what the digest of each one depends on.',
  },
  MEASUREMENT_IMPOSSIBLE: {
    cause: 'The file contains something that the platform cannot launch, so it has no launch digest.',
    cure: 'Check the part of the file named in the message; igvmfilegen and nx-igvm never write such a file.',
  },
  ID_BLOCK_INVALID: {
    cause: 'The SNP ID block, its signature or public key is damaged, or they do not match each other or the image.',
    cure: 'Sign the .idblock file that was built together with this image, with an ECDSA P-384 key, and give the matching public key.',
  },
  ID_BLOCK_PRESENT: {
    cause: 'The image already has an SNP ID block, and a second one would make it ambiguous.',
    cure: 'Start from the image as it was built.',
  },
  CORIM_MISSING: {
    cause: 'The image has no CoRIM document for the platform whose signature was to be added.',
    cure: 'Choose a platform for which the image has a document (dump-corim lists them), or build the image again, without "embed_corim": false.',
  },
  CORIM_INVALID: {
    cause: 'The CoRIM document in the image does not match the launch digest and security version of the image.',
    cure: 'Build the image again, and find out what changed the document: a signature would endorse something other than the image.',
  },
  CORIM_SIGNATURE_INVALID: {
    cause: 'The CoRIM signature is damaged, of an unsupported kind, or was made for another document.',
    cure: "Sign the image's own CoRIM document with PS384, as a COSE_Sign1 that carries the signer's certificate.",
  },
  STATEMENT_SIGNING: {
    cause: 'A statement about an image could not be signed: there is no usable key, or the program that signs failed.',
    cure: 'Give a P-256, P-384 or Ed25519 private key in PEM, or a program that prints a signature which the public key verifies.',
  },
  EVIDENCE_INVALID: {
    cause: 'A file is not evidence from a guest: it has no attestation report or quote, or a damaged one.',
    cure: 'Give the file as the guest received it: the report or quote itself, as bytes or as hexadecimal digits. https://github.com/nx-igvm/nx-igvm/blob/main/docs/verify-report.md lists the forms.',
  },
  CERTIFICATE_INVALID: {
    cause: 'A file is not a certificate or revocation list, or it is damaged.',
    cure: 'Get it again from its issuer, in DER or PEM. A certificate that was changed proves nothing.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The measurement lock (src/lock). */
export const LOCK_CODES = {
  LOCK_MISSING: {
    cause: 'An image was to be checked against its measurement lock, but there is none.',
    cure: 'Write it with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), review it, and commit it beside the manifest.',
  },
  LOCK_INVALID: {
    cause: 'The measurement lock is not in the format of this version: it is older or newer, or was changed by hand.',
    cure: 'Write it again with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), and review the changes.',
  },
  LOCK_MISMATCH: {
    cause: 'The launch digest or another property of the image is not what its lock says.',
    cure: 'If the change is intended, write the lock again with "nx run PROJECT:measure --update-lock" and have it reviewed. Otherwise, find out what caused the differences named in the message.',
  },
  DEBUG_NOT_ALLOWED: {
    cause: "The host may debug a guest of the image, and so read its memory, but the image's lock does not allow that.",
    cure: 'Turn enable_debug off in the manifest. If debugging is intended, write the lock with "nx run PROJECT:measure --update-lock --allow-debug" and have its "debug": true reviewed.',
  },
  PAGES_OVERLAP: {
    cause:
      'The image has two pages for one address of a guest. Loaders differ in which of them they use, so the contents of the guest are not certain.',
    cure: 'Build the image again. No image of nx-igvm or igvmfilegen has such pages; "nx-igvm dump" shows them.',
  },
  SIBLINGS_STALE: {
    cause:
      'The map of the image, or a document about the image beside it or inside it, is not the one that a build of the image writes.',
    cure: 'Build the image again, and keep the files of one build together.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Packing an initramfs (src/initrd). */
export const INITRD_CODES = {
  INITRD_ENTRY: {
    cause:
      'An entry of the folder, or of the lists beside it, cannot be part of an initramfs, or Linux would leave it out or change it.',
    cure: 'An initramfs holds files below 4 GiB, folders, symbolic links and listed devices, and each path once. https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md lists what Linux accepts.',
  },
  CONTAINER_IMAGE: {
    cause:
      '"image" in an initrd.json does not name a container image that can be read: it is not an OCI layout, OCI archive or docker archive, it is damaged, it is for another processor, or its layers have an unknown format. Or it holds several images, and "image" does not say which one to use.',
    cure: 'Give the folder of an OCI layout, or an archive made by `docker save`, `skopeo copy`, `buildah push` or `umoci`. https://github.com/nx-igvm/nx-igvm/blob/main/docs/containers.md lists the forms.',
  },
  CONTAINER_DIGEST: {
    cause: 'A part of a container image was changed or damaged: it has another digest or size than the image states.',
    cure: 'Build or fetch the image again.',
  },
  CONTAINER_LAYER: {
    cause:
      'A layer of a container image is not an archive that can be read, or it has something that cannot be part of an initramfs: a path outside the image, a device, a file of 4 GiB or more, or more data or files than the limits allow.',
    cure: 'Build the image without what the message names. https://github.com/nx-igvm/nx-igvm/blob/main/docs/containers.md lists what is accepted.',
  },
  CONTAINER_PROCESS: {
    cause:
      'The guest has no program to run, or cannot run it: the image states no command, or states a command, user or folder that it does not have.',
    cure: 'Correct ENTRYPOINT, CMD, USER or WORKDIR of the image, or set "command" in initrd.json.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** Running an image (src/boot). */
export const BOOT_CODES = {
  VMM_MISSING: {
    cause: 'No virtual machine monitor that can boot the image was found.',
    cure: 'Install QEMU or Cloud Hypervisor, or name a program with --vmm-path.',
  },
  VMM_FAILED: {
    cause: 'The virtual machine monitor could not be started, or ended with an error.',
    cure: 'Read its output. Arguments after -- are passed to it unchanged.',
  },
  VMM_UNSUPPORTED: {
    cause: 'The chosen virtual machine monitor does not support what an option asks for.',
    cure: 'Leave the option out, or choose another monitor with --vmm.',
  },
  KVM_UNUSABLE: {
    cause: 'KVM is needed or was requested, but this machine has no KVM that can run a 64-bit guest.',
    cure: 'Use --accel tcg with QEMU, or a machine with hardware virtualization and access to /dev/kvm.',
  },
  BOOT_PLATFORM: {
    cause: 'The image has no NATIVE x64 guest; guests of other platforms need a paravisor or confidential hardware.',
    cure: 'Boot it on the platform named in the message, or build a linux image with isolation_type none.',
  },
  BOOT_CONTEXT: {
    cause: 'The VP context of the image describes a state that a PVH boot cannot reach, or the image is firmware.',
    cure: 'Use 64-bit mode with 4-level page tables below 4 GiB, as linux images do, and one VP context. Firmware boots, but cannot be exported.',
  },
  BOOT_LAYOUT: {
    cause: 'The image has pages at addresses where a boot cannot put them.',
    cure: 'Keep the pages of a kernel out of 0xa0000-0xfffff, leave a gap above 1 MiB, and identity-map it. For firmware, use a QEMU that loads IGVM files itself.',
  },
  BOOT_PARAMETER: {
    cause: 'A parameter of the image cannot be filled in with the requested value.',
    cure: 'Check the command line, the memory size and the number of processors.',
  },
  BOOT_MEMORY: {
    cause: 'The virtual machine would have less memory than the image needs, or would have it at other addresses.',
    cure: 'Give it more memory with --memory, or build the image for less.',
  },
  BOOT_NO_MATCH: {
    cause: 'The guest ended, or the timeout expired, before its output matched --until.',
    cure: "Read the guest's output, or give the guest more time with --timeout.",
  },
  BOOT_TIMEOUT: {
    cause: 'The guest was still running when the timeout expired.',
    cure: 'Give it more time with --timeout, or use --until for the text that it prints when it is done.',
  },
  BOOT_STOPPED: {
    cause: 'The run was stopped from outside before the guest printed the expected output.',
    cure: 'Run it again. If another time limit stopped it, make that limit longer than --timeout.',
  },
  BOOT_WAY: {
    cause: 'The image cannot be booted in the way that --way names, or not with the other options.',
    cure: 'Leave --way out, so that a way which suits the image is chosen, or build the image for that monitor.',
  },
  BOOT_OPTION: {
    cause: 'An option of boot or export has an invalid value.',
    cure: 'Correct the value; see --help.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The command line (src/cli), and git, which it asks about locks. */
export const CLI_CODES = {
  USAGE: {
    cause: 'The command line has an unknown or invalid option or argument.',
    cure: 'See --help.',
  },
  GIT_FAILED: {
    cause:
      'The history of a lock was requested, but git could not read it: git is not installed, there is no repository, or there is no such revision.',
    cure: 'Run the command in a clone with its full history (in CI, fetch all commits), and name revisions as "git log" accepts them.',
  },
} as const satisfies Record<string, ErrorInfo>;

/** The Nx side (src/plugin, src/executors, src/generators). */
export const NX_CODES = {
  NX_TARGET_UNKNOWN: {
    cause: 'The manifest uses the output of a project or target that does not exist in the workspace.',
    cure: 'Correct the project and target names.',
  },
  NX_OUTPUT_UNDECLARED: {
    cause:
      'The manifest uses a file that is not a declared output of the target it names, so Nx would not notice when it changes.',
    cure: 'Correct the path, which is relative to the workspace, or add the file to the "outputs" of that target.',
  },
  NX_TARGET_UNCACHED: {
    cause:
      'The manifest uses the output of a target that Nx does not cache. Such a target may have other effects, such as a deployment, which a manifest should not cause.',
    cure: 'Set "cache": true for the target if it does nothing but write its outputs, or name it in the plugin option "resourceTargets" in nx.json.',
  },
  BUILD_FIRST: {
    cause: 'A lock or a statement needs an image that is not built, or was not built from the current files.',
    cure: 'Build the images named in the message, then run the command again.',
  },
  SIGN_OPTION: {
    cause: 'An image was to be signed, but the options do not say with what, or contradict each other.',
    cure: 'Give a signed ID block (idBlock, idSignature, idPublicKey), temporaryKey for development, or a CoRIM signature with its platform.',
  },
  NX_OPTION_INVALID: {
    cause:
      'A target, or the command line, sets an option that the executor does not know, or does not set one that it needs.',
    cure: "Correct the target's options; https://github.com/nx-igvm/nx-igvm/tree/main/docs/executors has a page on each executor.",
  },
  NX_OPTION_UNTRACKED: {
    cause:
      'A cacheable target was run with a file that only the command line names, so Nx would not notice when the file changes.',
    cure: 'Set the option in the target, or in one of its configurations: in project.json, package.json, the plugin options in nx.json, or its targetDefaults.',
  },
  NX_KEY_REPLACED: {
    cause:
      'nx.json, project.json or package.json replaces a list of an inferred target ("inputs", "outputs" or "dependsOn") or its "cache", so that an old image could be reported as a new one.',
    cure: 'Run "nx g nx-igvm:init", which keeps targetDefaults from replacing inferred lists, or put "..." into the list (in Nx 23 and later; in the plugin options in nx.json, with every version of Nx). If the replacement is intended, name the key in the option "ownKeys" of the target.',
  },
  NX_BATCH_HASHES: {
    cause:
      'An image is made from another image of the same batch. Nx 21 and 22 hash it before the other one is written, so the cache would store the new image under the hash of the old one.',
    cure: 'Set "parallelism": false for the target in project.json, which keeps it out of batches, run Nx with --batch=false, or update the workspace to Nx 23.',
  },
  NX_VERSION_UNSUPPORTED: {
    cause: 'The workspace has no Nx, or one that is older than the plugin supports.',
    cure: 'Update the workspace with "nx migrate latest".',
  },
  GENERATOR_OPTION: {
    cause: 'A generator was given an option that does not fit what it was asked to generate.',
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
