import { hash } from 'node:crypto';
import * as zlib from 'node:zlib';
import type { Crc32, Sha256Hex } from '../igvm/hashes';

/**
 * CRC-32 from zlib; what the IGVM reader and writer take as `crc32`. Apart from sha256.ts, as the program of `runtime` inputs
 * starts faster without zlib.
 */
export const crc32: Crc32 = (bytes, seed = 0) => zlib.crc32(bytes, seed);

/** SHA-256 in hexadecimal; what the IGVM writer takes as `sha256Hex`. */
export const sha256Hex: Sha256Hex = (bytes) => hash('sha256', bytes, 'hex');
