import type { ErrorInfo } from '../error-info';

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
      'A measurement lock should follow its image, but the image is not built, or not from the files as they are now.',
    cure: 'Build the images that the message names, then run "nx sync" again.',
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
