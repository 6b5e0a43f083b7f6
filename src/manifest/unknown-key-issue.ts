/**
 * The message of an issue about unknown keys of a closed object, for those that print issues. (A variant's object says
 * instead that one key is too many.) In a file of its own so that it can be had without loading zod.
 */
export const UNKNOWN_KEY = 'unknown key';
