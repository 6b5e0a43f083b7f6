import type { ByteSource } from './byte-source';

/**
 * Adjacent guest pages that share everything but their bytes: the unit of the whole program (DESIGN: guest memory is
 * runs, not pages). Page `i` holds the content's bytes from `i * PAGE_SIZE` on; a page that the content only partly
 * covers is padded with zeros, a page wholly behind it is *empty*: it has no file data and file offset 0. (An all-zero
 * page inside the content is not empty: it is stored.)
 */
export interface PageRun {
  /** GPA of the first page in bytes, a multiple of PAGE_SIZE, below 2^52. */
  gpa: number;
  /** Number of pages, at least 1. */
  pageCount: number;
  /** IGVM_VHS_PAGE_DATA flags, see PAGE_FLAG in igvm/page-data.ts. */
  flags: number;
  /** IgvmPageDataType, see PAGE_DATA_TYPE in igvm/page-data.ts. */
  dataType: number;
  /** The platforms (bits) for which the run is imported. */
  compatibilityMask: number;
  /** Bytes from the first page's start; at most pageCount * PAGE_SIZE. */
  content: ByteSource;
}
