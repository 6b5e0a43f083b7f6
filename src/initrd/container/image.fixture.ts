/** Container images for tests, made entry by entry, including images that no tool makes. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** An entry of a layer: a header of tar-stream, and for a file its content. */
export type TarEntry = { name: string; content?: string | Uint8Array } & Partial<
  Omit<Parameters<ReturnType<typeof pack>['entry']>[0], 'name'>
>;

/** A tar archive. */
export async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack();
  const chunks: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of archive as AsyncIterable<Uint8Array>) chunks.push(chunk);
  })();
  for (const { content, ...header } of entries) {
    const bytes = content === undefined ? undefined : Buffer.from(content as Uint8Array);
    const whole = { mode: header.type === 'directory' ? 0o755 : 0o644, mtime: new Date(0), ...header };
    if (bytes === undefined) archive.entry({ ...whole, size: 0 }).end(undefined);
    else archive.entry({ ...whole, size: bytes.length }, bytes);
  }
  archive.finalize();
  await reading;
  return Buffer.concat(chunks);
}

export const sha256 = (bytes: Uint8Array | string): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The contents of an image. */
export interface TestImage {
  /** Tar archives. */
  layers: Uint8Array[];
  /** Compresses a layer. Default: gzip. */
  stored?: (archive: Uint8Array) => Uint8Array;
  mediaType?: string;
  /** Added to `config` in its configuration. */
  config?: object;
  /** Replaces members of its configuration. */
  configuration?: object;
  /** Replaces members of its manifest. */
  manifest?: object;
}

/** The parts of an OCI layout by their names. @param descriptor members to add to the descriptor of the manifest */
export function layoutOf(image: TestImage, descriptor: object = {}): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>();
  const blob = (bytes: Uint8Array): { digest: string; size: number } => {
    const digest = sha256(bytes);
    parts.set(`blobs/${digest.replace(':', '/')}`, bytes);
    return { digest, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const { layers, stored = gzipSync, mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip' } = image;
  const config = blob(
    json({
      architecture: 'amd64',
      os: 'linux',
      config: { Entrypoint: ['/bin/app'], ...image.config },
      rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
      ...image.configuration,
    }),
  );
  const manifest = blob(
    json({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: layers.map((layer) => ({ mediaType, ...blob(stored(layer)) })),
      ...image.manifest,
    }),
  );
  const manifests = [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, ...descriptor }];
  parts.set('index.json', json({ schemaVersion: 2, manifests }));
  parts.set('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  return parts;
}

/** The parts of an archive from `docker save`. */
export function dockerOf(image: TestImage, tags: string[] = ['app:latest']): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>();
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/bin/app'], ...image.config },
    rootfs: { type: 'layers', diff_ids: image.layers.map(sha256) },
    ...image.configuration,
  });
  const name = `${sha256(config).slice('sha256:'.length)}.json`;
  parts.set(name, config);
  const layers = image.layers.map((layer, index) => {
    parts.set(`layer-${index}/layer.tar`, layer);
    return `layer-${index}/layer.tar`;
  });
  parts.set('manifest.json', json([{ Config: name, RepoTags: tags, Layers: layers }]));
  return parts;
}

/** Writes the parts of an image into a folder. */
export function writeParts(folder: string, parts: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, bytes] of parts) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
}

/** The parts of an image as an archive. */
export const archiveOf = (parts: ReadonlyMap<string, Uint8Array>): Promise<Buffer> =>
  tarOf([...parts].map(([name, content]) => ({ name, content })));

/** A file that counts as a program. */
export const APP: TarEntry = { name: 'bin/app', content: '#!/bin/sh\n', mode: 0o755 };
