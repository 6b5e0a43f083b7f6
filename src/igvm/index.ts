/**
 * The IGVM file format, `nx-igvm/igvm`: the model, reader, writer, validation and merge. It needs no Node built-ins:
 * the caller supplies SHA-256, and files are byte sources and sinks.
 */
export { type ErrorWhere, IgvmError } from '../errors/igvm-error';
export * from '../memory/byte-source';
export * from '../memory/page';
export { type IgvmSink, memorySink, type MemorySink } from './file-data';
export * from './hashes';
export * from './merge';
export * from './model';
export { readIgvm, type ReadOptions } from './read-igvm';
export * from './stream';
export * from './validate';
export * from './write-igvm';
