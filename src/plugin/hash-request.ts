/** What to hash. Paths are relative to the workspace or absolute. */
export type HashRequest =
  | { file: string }
  /** A pattern, and the folder it starts from. */
  | { glob: string; base: string }
  /** A program that is named without a folder, where PATH has it. */
  | { program: string }
  /** Everything below a folder. */
  | { tree: string }
  /** A file of the workspace, as far as links lead to it. */
  | { linked: string }
  /** A JSON file, without these members of its object. */
  | { json: string; without: readonly string[] }
  /** Nothing: the answer is another one each time. */
  | { never: true };

/** Requests as one word that no shell takes for anything else. */
export const encodeRequests = (requests: readonly HashRequest[]): string =>
  Buffer.from(JSON.stringify(requests)).toString('base64url');

export const decodeRequests = (argument: string): HashRequest[] =>
  JSON.parse(Buffer.from(argument, 'base64url').toString()) as HashRequest[];
