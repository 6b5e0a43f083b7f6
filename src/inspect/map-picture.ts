import { hex } from '../errors/hex';
import { type Html, html } from './html';
import type { GuestView, Overlay } from './guest-view';
import { REGION_KINDS, regionName, regionSize } from '../regions/guest-regions';
import type { MapLayout, PlacedGap, PlacedRegion, Stretch } from './map-layout';
import { sizeText } from './size-text';

/** Columns of the picture, in its units. */
const SCALE = { left: 92, right: 122 };
const BLOCKS = { left: 206, right: 700 };
const OVERLAYS = { left: 718, width: 26 };

/** Room above and below. */
const MARGIN = 34;

/** Labels of the scale that are closer together would overlap. */
const LABEL_DISTANCE = 13;

/** The id of the element with all that is known of a region. */
export const regionId = (guest: number, region: number): string => `region-${guest}-${region}`;

/**
 * A guest's memory as a picture: left to scale, with breaks where there is nothing for long; right the same regions in
 * a size that can be read.
 */
export function mapPicture({ index, platform, layout, overlays, pointers }: GuestView): Html {
  const width = OVERLAYS.left + Math.max(1, overlays.length) * OVERLAYS.width + 6;
  const height = layout.height + 2 * MARGIN;
  return html`<svg class="map" viewBox="0 0 ${width} ${height}" role="group" aria-label="Memory map of the ${platform} guest">
<g transform="translate(0 ${MARGIN})">
<text class="column" x="${(SCALE.left + SCALE.right) / 2}" y="-16" text-anchor="middle">to scale</text>
<text class="column" x="${BLOCKS.left}" y="-16">regions, by ascending address</text>
${overlays.length > 0 && html`<text class="column" x="${width - 6}" y="-16" text-anchor="end">ranges</text>`}
${layout.regions.map(connector)}
<rect class="rail" x="${SCALE.left}" y="0" width="${SCALE.right - SCALE.left}" height="${round(layout.height)}" rx="4"/>
${layout.regions.map(scaleMark)}
${layout.gaps.map(gapMarks)}
${scaleLabels(layout)}
${overlays.map((overlay, column) => overlayBar(overlay, column, layout))}
${layout.regions.map((placed, region) => regionLink(placed, regionId(index, region), pointers.get(region) ?? []))}
</g></svg>`;
}

const round = (value: number): number => Math.round(value * 100) / 100;

function connector({ region, toScale, readable }: PlacedRegion): Html {
  const [left, right] = [SCALE.right + 2, BLOCKS.left - 4];
  const bend = (left + right) / 2;
  const [top, bottom] = [readable.top + 2, readable.bottom - 2].map(round);
  const [from, to] = [round(toScale.top), round(toScale.bottom)];
  return html`<path class="link k-${region.kind}" d="M${left} ${from}C${bend} ${from} ${bend} ${top} ${right} ${top}V${bottom}C${bend} ${bottom} ${bend} ${to} ${left} ${to}Z"/>`;
}

const scaleMark = ({ region, toScale }: PlacedRegion): Html =>
  html`<rect class="mark k-${region.kind}" x="${SCALE.left + 2}" y="${round(toScale.top)}" width="${SCALE.right - SCALE.left - 4}" height="${round(toScale.bottom - toScale.top)}"/>`;

function gapMarks({ gpa, end, toScale, readable, isCut }: PlacedGap): Html {
  const middle = round((readable.top + readable.bottom) / 2);
  const width = 150;
  const center = (BLOCKS.left + BLOCKS.right) / 2;
  return html`${isCut && breakMark(toScale)}
<path class="gap" d="M${BLOCKS.left} ${middle}H${center - width / 2}M${center + width / 2} ${middle}H${BLOCKS.right}"/>
<text class="gap-size" x="${center}" y="${middle + 4}" text-anchor="middle">${sizeText(end - gpa)} without data</text>`;
}

/** Two waves across the column: here the scale leaves something out. */
function breakMark({ top, bottom }: Stretch): Html {
  const middle = (top + bottom) / 2;
  const [left, right] = [SCALE.left - 4, SCALE.right + 4];
  const step = (right - left) / 4;
  const wave = (y: number): string => `M${left} ${round(y)}q${step / 2} -6 ${step} 0t${step} 0t${step} 0t${step} 0`;
  const height = 8;
  return html`<rect class="break-ground" x="${left}" y="${round(middle - height / 2)}" width="${right - left}" height="${height}"/>
<path class="break" d="${wave(middle - height / 2)}${wave(middle + height / 2)}"/>`;
}

/** Addresses beside the scale, where there is room: the ends of what a break divides come first. */
function scaleLabels(layout: MapLayout): Html[] {
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
      html`<text class="address" x="${SCALE.left - 8}" y="${round(y + 3)}" text-anchor="end">${hex(gpa)}</text>`,
  );
}

function overlayBar({ gpa, end, label }: Overlay, column: number, layout: MapLayout): Html {
  const x = OVERLAYS.left + column * OVERLAYS.width;
  const [top, bottom] = [round(layout.placeOf(gpa)), round(layout.placeOf(end))];
  const middle = round((top + bottom) / 2);
  const text = `${label}, ${sizeText(end - gpa)}`;
  const hasRoom = bottom - top > text.length * 6.4;
  return html`<g class="overlay" tabindex="0" role="img" aria-label="${text}, from ${hex(gpa)} to ${hex(end)}">
<title>${text}: ${hex(gpa)} to ${hex(end)}</title>
<path d="M${x} ${top + 1}h5V${bottom - 1}h-5"/>
<rect class="hit" x="${x - 2}" y="${top}" width="${OVERLAYS.width - 4}" height="${Math.max(2, bottom - top)}"/>
${hasRoom && html`<text transform="translate(${x + 17} ${middle}) rotate(-90)" text-anchor="middle">${text}</text>`}</g>`;
}

function regionLink({ region, readable }: PlacedRegion, id: string, pointers: readonly string[]): Html {
  const { gpa, end, kind } = region;
  const name = regionName(region);
  const top = round(readable.top + 2);
  const height = round(readable.bottom - readable.top - 4);
  const baseline = round(top + height / 2 + 4);
  const pages = (end - gpa) / 4096;
  const stored = region.spans.length === 0 ? 0 : 1 - region.emptyPages / pages;
  const width = BLOCKS.right - BLOCKS.left;
  const shown = shortened(name, pointers);
  const size = sizeText(regionSize(region));
  // Begins with what is to be seen: who speaks to the computer says that.
  const label = [
    [hex(gpa), shown, ...shownPointers(pointers), size].join(' '),
    ...(shown === name ? [] : [name]),
    `${REGION_KINDS[kind]} from ${hex(gpa)} to ${hex(end)}`,
  ].join(', ');
  return html`<a href="#${id}" class="region k-${kind}" aria-label="${label}">
<rect class="block" x="${BLOCKS.left}" y="${top}" width="${width}" height="${height}" rx="5"/>
<rect class="stripe" x="${BLOCKS.left}" y="${top}" width="6" height="${height}" rx="3"/>
${stored > 0 && html`<rect class="stored" x="${BLOCKS.left + 6}" y="${top + height - 3}" width="${round((width - 9) * stored)}" height="2"/>`}
<text class="start" x="${BLOCKS.left + 18}" y="${baseline}">${hex(gpa)}</text>
<text class="name" x="${BLOCKS.left + 138}" y="${baseline}">${shown}</text>
${pointerChips(pointers, baseline)}
<text class="size" x="${BLOCKS.right - 12}" y="${baseline}" text-anchor="end">${size}</text></a>`;
}

/** Width of a register's name in its chip. */
const chipWidth = (register: string): number => register.length * 7 + 12;

const CHIPS_RIGHT = BLOCKS.right - 88;

/** The registers that there is room for. */
const shownPointers = (pointers: readonly string[]): readonly string[] => pointers.slice(0, 4);

function pointerChips(pointers: readonly string[], baseline: number): Html[] {
  let right = CHIPS_RIGHT;
  return shownPointers(pointers).map((register) => {
    const width = chipWidth(register);
    right -= width + 4;
    return html`<rect class="chip" x="${right}" y="${baseline - 13}" width="${width}" height="18" rx="9"/>
<text class="chip-text" x="${right + width / 2}" y="${baseline}" text-anchor="middle">${register}</text>`;
  });
}

/** A name that leaves room for what stands to its right; all of it is in the label. */
function shortened(name: string, pointers: readonly string[]): string {
  const chips = shownPointers(pointers).reduce((sum, register) => sum + chipWidth(register) + 4, 0);
  const room = Math.floor((CHIPS_RIGHT - chips - BLOCKS.left - 138) / 7.1);
  return name.length <= room ? name : `${name.slice(0, Math.max(3, room - 1))}…`;
}
