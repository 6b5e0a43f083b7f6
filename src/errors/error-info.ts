/** What docs/errors.md says of a code: the usual cause, and what the user should do. One sentence each. */
export interface ErrorInfo {
  readonly cause: string;
  readonly cure: string;
}
