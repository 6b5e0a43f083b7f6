/** Flags of a page (igvm_defs: IgvmPageDataFlags, u32). */
export const PAGE_FLAG = { IS_2MB_PAGE: 1, UNMEASURED: 2, SHARED: 4 } as const;

/** Type of a page (igvm_defs: IgvmPageDataType, u16). */
export const PAGE_DATA_TYPE = { NORMAL: 0, SECRETS: 1, CPUID_DATA: 2, CPUID_XF: 3 } as const;

/** Name of a page's type; a number when it is not known. */
export const pageTypeName = (dataType: number): string =>
  Object.entries(PAGE_DATA_TYPE).find(([, each]) => each === dataType)?.[0] ?? String(dataType);

/** What a loader asks for a range, by the names of the importer (openvmm vm/loader/src/importer.rs: BootPageAcceptance). */
export type PageAcceptance =
  | 'exclusive'
  | 'exclusiveUnmeasured'
  | 'vpContext'
  | 'secrets'
  | 'cpuid'
  | 'cpuidExtendedState'
  | 'shared';

/** How each acceptance is written in a page's header. `vpContext` has no page data: it becomes a VP context directive. */
export const ACCEPTANCE_HEADER: Record<Exclude<PageAcceptance, 'vpContext'>, { dataType: number; flags: number }> = {
  exclusive: { dataType: PAGE_DATA_TYPE.NORMAL, flags: 0 },
  exclusiveUnmeasured: { dataType: PAGE_DATA_TYPE.NORMAL, flags: PAGE_FLAG.UNMEASURED },
  secrets: { dataType: PAGE_DATA_TYPE.SECRETS, flags: 0 },
  cpuid: { dataType: PAGE_DATA_TYPE.CPUID_DATA, flags: 0 },
  cpuidExtendedState: { dataType: PAGE_DATA_TYPE.CPUID_XF, flags: 0 },
  shared: { dataType: PAGE_DATA_TYPE.NORMAL, flags: PAGE_FLAG.SHARED },
};
