import { hex } from '../errors/printable';
import { REGION_KINDS, regionName } from '../regions/guest-regions';
import type { GuestView, MapRow } from './guest-view';
import { html, type Html, sizeText } from './html';
import type { MapLayout, PlacedGap, PlacedRegion, Stretch } from './map-layout';

/** Columns of the picture, in pixels: addresses, the scale, and the connections to the rows. */
const SCALE = { left: 112, right: 142 };
const WIDTH = 184;

/** Labels of the scale that are closer than this would overlap. */
const LABEL_DISTANCE = 15;

/**
 * A guest's memory. Left: to scale, with breaks in place of long gaps. Right: a row for each region, with a logarithmic height. The rows
 * are plain boxes, so that their text wraps and prints. Only the scale is a picture.
 */
export function memoryMap({ rows, layout, pointers, platform }: GuestView): Html {
  const items = [
    ...layout.regions.map((placed, place) => ({
      top: placed.readable.top,
      item: rowLink(placed, rows[place] as MapRow, pointers.get(place) ?? [], platform !== undefined),
    })),
    ...layout.gaps.map((gap) => ({ top: gap.readable.top, item: gapRow(gap) })),
  ].sort((a, b) => a.top - b.top);
  return html`<div class="map">
<svg class="scale" width="${WIDTH}" height="${round(layout.height)}" aria-hidden="true">
${layout.regions.map(connector)}
<rect class="rail" x="${SCALE.left}" y="0" width="${SCALE.right - SCALE.left}" height="${round(layout.height)}" rx="4"/>
${layout.regions.map(scaleMarks)}
${layout.gaps.map(({ toScale, isCut }) => isCut && breakMark(toScale))}
${scaleLabels(layout)}</svg>
<div class="rows">${items.map(({ item }) => item)}</div></div>`;
}

/**
 * The heights of rows as rules for the style sheet, because the page's policy forbids style attributes. On a phone there is no scale
 * beside the rows, so they may be taller, and long names wrap.
 */
export function heightRules(views: readonly GuestView[]): string {
  const heights = new Set<number>();
  for (const { layout } of views) {
    for (const { readable } of [...layout.regions, ...layout.gaps]) heights.add(heightOf(readable));
  }
  const sorted = [...heights].sort((a, b) => a - b);
  const rules = (property: string): string => sorted.map((height) => `.h${height}{${property}:${height}px}`).join('');
  return `@media screen and (min-width:641px){${rules('height')}}@media screen and (max-width:640px){${rules('min-height')}}`;
}

const heightOf = ({ top, bottom }: Stretch): number => Math.round(bottom - top);

const round = (value: number): number => Math.round(value * 100) / 100;

function connector({ region, toScale, readable }: PlacedRegion<MapRow>): Html {
  const [left, right] = [SCALE.right + 2, WIDTH - 2];
  const bend = (left + right) / 2;
  const [top, bottom] = [readable.top + 2, readable.bottom - 2].map(round);
  const [from, to] = [round(toScale.top), round(toScale.bottom)];
  return html`<path class="link k-${region.kind}" d="M${left} ${from}C${bend} ${from} ${bend} ${top} ${right} ${top}V${bottom}C${bend} ${bottom} ${bend} ${to} ${left} ${to}Z"/>`;
}

/** A mark for each part of a row, to scale, but never too thin to be seen. */
function scaleMarks({ region: { gpa, end, kind, parts }, toScale }: PlacedRegion<MapRow>): Html[] {
  const perByte = (toScale.bottom - toScale.top) / Math.max(1, end - gpa);
  return parts.map((part) => {
    const top = toScale.top + (part.gpa - gpa) * perByte;
    const height = Math.max(1, (part.end - part.gpa) * perByte);
    return html`<rect class="mark k-${kind}" x="${SCALE.left + 2}" y="${round(top)}" width="${SCALE.right - SCALE.left - 4}" height="${round(height)}"/>`;
  });
}

const gapRow = ({ gpa, end, readable, isCut }: PlacedGap): Html =>
  html`<p class="gap h${heightOf(readable)}"><span>${sizeText(end - gpa)} without data${isCut && html`<i class="of-scale">, not to scale</i>`}</span></p>`;

/** Two waves across the column, where the scale leaves something out. */
function breakMark({ top, bottom }: Stretch): Html {
  const middle = (top + bottom) / 2;
  const [left, right] = [SCALE.left - 4, SCALE.right + 4];
  const step = (right - left) / 4;
  const wave = (y: number): string => `M${left} ${round(y)}q${step / 2} -6 ${step} 0t${step} 0t${step} 0t${step} 0`;
  const height = 8;
  return html`<rect class="break-ground" x="${left}" y="${round(middle - height / 2)}" width="${right - left}" height="${height}"/>
<path class="break" d="${wave(middle - height / 2)}${wave(middle + height / 2)}"/>`;
}

/** Addresses beside the scale, where there is room. Those around breaks come first. */
function scaleLabels(layout: MapLayout<MapRow>): Html[] {
  const wanted = new Map<number, number>();
  const add = (gpa: number, y: number): void => {
    const isFree = [...wanted.values()].every((other) => Math.abs(other - y) >= LABEL_DISTANCE);
    if (isFree && !wanted.has(gpa)) wanted.set(gpa, y);
  };
  for (const { gpa, end, toScale, isCut } of layout.gaps) {
    if (!isCut) continue;
    add(gpa, toScale.top - 2);
    add(end, toScale.bottom + 8);
  }
  for (const { region, toScale } of layout.regions) add(region.gpa, toScale.top + 6);
  return [...wanted].map(
    ([gpa, y]) =>
      html`<text class="address" x="${SCALE.left - 8}" y="${round(Math.max(10, y + 3))}" text-anchor="end">${hex(gpa)}</text>`,
  );
}

/** What a row says about measurement. */
export const measuredText = (isMeasured: boolean | undefined): string =>
  isMeasured === undefined ? 'partly measured' : isMeasured ? 'measured' : 'not measured';

/** Most registers that a row has room for. */
const MOST_CHIPS = 4;

function rowLink(
  { readable }: PlacedRegion<MapRow>,
  row: MapRow,
  pointers: readonly string[],
  isMeasurable: boolean,
): Html {
  const { gpa, end, kind, parts, id, isMeasured } = row;
  const name = `${regionName(row)}${parts.length > 1 ? ` × ${parts.length}` : ''}`;
  const size = sizeText(parts.reduce((sum, part) => sum + part.end - part.gpa, 0));
  return html`<a href="#${id}" class="region k-${kind} h${heightOf(readable)}"><span class="line"><span class="title"><b class="name">${name}</b>${pointers
    .slice(0, MOST_CHIPS)
    .map((register) => html` <span class="chip">${register}</span>`)}</span> <span class="size">${size}</span></span>
<span class="line"><span class="start">${hex(gpa)}<span class="end">–${hex(end)}</span></span> <span class="what">${REGION_KINDS[kind]}</span>${
    isMeasurable &&
    html` <span class="measured ${isMeasured === true ? 'yes' : 'no'}">${measuredText(isMeasured)}</span>`
  }</span></a>`;
}
