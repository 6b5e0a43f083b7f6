import { hash } from 'node:crypto';
import * as zlib from 'node:zlib';
import type { Crc32, Sha256Hex } from '../igvm/hashes';

/**
 * CRC-32 from zlib, for the option `crc32` of the IGVM reader and writer. Not in sha256.ts, because the program of `runtime` inputs
 * starts faster without zlib.
 */
export const crc32: Crc32 = (bytes, seed = 0) => zlib.crc32(bytes, seed);

/** SHA-256 in hexadecimal, for the option `sha256Hex` of the IGVM writer. */
export const sha256Hex: Sha256Hex = (bytes) => hash('sha256', bytes, 'hex');
