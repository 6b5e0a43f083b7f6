import { hex, hexRange } from '../errors/printable';
import { hexOf } from '../igvm/dump';
import { PAGE_SIZE } from '../memory/page';
import { firstBytes, type GuestRegion, REGION_KINDS, regionName, textAtStart } from '../regions/guest-regions';
import type { MapRow } from './guest-view';
import { countText, html, type Html, sizeText } from './html';
import { measuredText } from './map-picture';

/** Most parts that a card lists. */
const MOST_PARTS = 64;

/** The description of a row of the map. */
export function rowCard(row: MapRow, pointers: readonly string[], isMeasurable: boolean): Html {
  const { gpa, end, kind, id, emptyPages, spans, parameters, parts, marks, isMeasured } = row;
  const [only] = parts;
  const pages = parts.reduce((sum, part) => sum + (part.end - part.gpa) / PAGE_SIZE, 0);
  const preview = previewOf(row);
  return html`<div class="card k-${kind}" id="${id}">
<h4>${regionName(row)}</h4>
<p class="kind"><i class="swatch"></i>${REGION_KINDS[kind]}${marks.length > 0 && `, ${marks.join(' ')}`}</p>
<dl>${isMeasurable && html`<dt>Launch digest</dt><dd>${measuredMeaning(isMeasured)}</dd>`}
<dt>From</dt><dd class="mono">${hex(gpa)}</dd>
<dt>To</dt><dd class="mono">${hex(end)}</dd>
<dt>Size</dt><dd>${sizeText(pages * PAGE_SIZE)}, ${countText(pages)} ${pages === 1 ? 'page' : 'pages'}</dd>
${spans.length > 0 && html`<dt>In the file</dt><dd>${countText(pages - emptyPages)} with data, ${countText(emptyPages)} empty</dd>`}
${parameters.length > 0 && html`<dt>Holds</dt><dd>${parameters.join(', ')}</dd>`}
${pointers.length > 0 && html`<dt>Registers</dt><dd class="mono">${pointers.join(', ')}</dd>`}
${parts.length === 1 && only?.sha256 !== undefined && html`<dt>SHA-256</dt><dd class="mono">${only.sha256}</dd>`}
</dl>
${parts.length > 1 && partsTable(row)}
${preview?.text !== undefined && html`<pre class="text">${preview.text}</pre>`}
${
  preview !== undefined &&
  preview.text === undefined &&
  html`<details><summary>First bytes</summary><pre>${preview.rows.map(({ hex, characters }) => html`${hex}  ${characters}${NEWLINE}`)}</pre></details>`
}
</div>`;
}

function measuredMeaning(isMeasured: boolean | undefined): string {
  const text = measuredText(isMeasured);
  if (isMeasured === true) return `${text}: the launch digest covers the contents`;
  return `${text}: what the digest doesn’t cover, the host may change, unless the guest checks it`;
}

function partsTable({ parts }: MapRow): Html {
  const hidden = parts.length - MOST_PARTS;
  return html`<ol class="parts mono">${parts
    .slice(0, MOST_PARTS)
    .map(({ gpa, end }) => html`<li>${hexRange(gpa, end)} ${sizeText(end - gpa)}</li>`)}</ol>
${hidden > 0 && html`<p class="muted">And ${countText(hidden)} more.</p>`}`;
}

const NEWLINE = html`
`;

/** The first bytes of a region. */
interface Preview {
  /** Rows of 8 bytes, in hexadecimal and as characters where they are printable. */
  rows: { hex: string; characters: string }[];
  /** The text at the start of the region, if there is one: a command line, for example. */
  text?: string;
}

const ROW = 8;
const PREVIEW_BYTES = 64;

/** A preview of a region; undefined if it contains only zeros or no data. */
function previewOf(region: Pick<GuestRegion, 'spans'>): Preview | undefined {
  const bytes = firstBytes(region);
  if (bytes === undefined) return undefined;
  const rows = Array.from({ length: PREVIEW_BYTES / ROW }, (_, index) =>
    rowOf(bytes.subarray(ROW * index, ROW * (index + 1))),
  );
  const text = textAtStart(bytes);
  return { rows, ...(text === undefined ? {} : { text }) };
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

function rowOf(bytes: Uint8Array): Preview['rows'][number] {
  const hex = hexOf(bytes).replaceAll(/../g, '$& ').trimEnd();
  const characters = Array.from(bytes, (byte) => (isPrintable(byte) ? String.fromCharCode(byte) : '·')).join('');
  return { hex, characters };
}
