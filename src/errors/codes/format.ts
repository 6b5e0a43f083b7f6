import type { ErrorInfo } from '../error-info';

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
