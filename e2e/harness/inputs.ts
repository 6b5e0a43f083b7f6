import { INPUTS } from '../../conformance/make-inputs';

/** A synthetic kernel, initrd, firmware or shim of the conformance suite, by its name there. */
export function input(name: string): Buffer {
  const make = INPUTS[name];
  if (make === undefined) {
    throw new Error(`the conformance suite has no input ${name}`);
  }
  return Buffer.from(make());
}

/** An offset after the headers of every input, in bytes that are loaded. */
const LOADED = 0x1800;

/** The same bytes with one changed. The binary is still valid, but the image differs. */
export function changed(bytes: Uint8Array, at = LOADED): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}
