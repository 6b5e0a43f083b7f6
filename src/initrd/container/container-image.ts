/**
 * A container image on disk: the folder of an OCI layout, an archive of such a folder, or an archive from `docker save`. Everything that
 * it states about its parts is checked, because it may come from anybody.
 */
import { createHash } from 'node:crypto';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { ByteSource } from '../../memory/byte-source';
import { shortened } from '../cpio-newc';
import type { InitArchitecture } from '../guest-init';
import type { Layer } from './unpack-layer';

/** The settings of an image for its process (OCI image specification, config.md). */
export interface ContainerConfig {
  architecture: InitArchitecture;
  entrypoint: string[];
  command: string[];
  /** `NAME=value`. */
  environment: string[];
  workingDirectory: string;
  /** `user`, `uid`, `user:group` and so on; empty: root. */
  user: string;
}

/** An image with its layers located. */
export interface ContainerImage {
  config: ContainerConfig;
  layers: Layer[];
}

/** Selects one image if there are several. */
export interface ImageChoice {
  /** The name that a tool gave it, such as `latest` or `registry/app:1.2`. */
  tag?: string;
  /** The architecture of the guest. */
  architecture?: InitArchitecture;
}

/** The most bytes of a manifest or a configuration. Registries accept no larger manifests. */
const LARGEST_JSON = 2 ** 22;

/** The most layers of an image, and manifests of an index. Container runtimes allow a few hundred layers at most. */
const MOST_LAYERS = 1000;

/** The deepest nesting of indexes. */
const DEEPEST_INDEX = 4;

/** The architectures of guests, by the names that Go gives them. */
const ARCHITECTURES: Readonly<Record<string, InitArchitecture>> = { amd64: 'x64', arm64: 'aarch64' };

const REF_NAME = 'org.opencontainers.image.ref.name';

const CHUNK = 2 ** 20;

/** The parts of an image by name: files in a folder or in an archive. */
export interface ImageParts {
  /** Undefined if there is no such part. The caller doesn't close it. */
  find(name: string): ByteSource | undefined;
  /** The place of a part, for messages. */
  where(name: string): ErrorWhere;
}

type Json = Record<string, unknown>;

/**
 * Reads the selected image and locates its layers.
 * @param display the name of the image in messages
 * @throws IgvmError CONTAINER_IMAGE, CONTAINER_DIGEST
 */
export function readContainerImage(parts: ImageParts, display: string, choice: ImageChoice = {}): ContainerImage {
  const reader = new ImageReader(parts, display, choice);
  if (parts.find('oci-layout') !== undefined || parts.find('index.json') !== undefined) return reader.ofLayout();
  if (parts.find('manifest.json') !== undefined) return reader.ofDockerArchive();
  throw new IgvmError(
    'CONTAINER_IMAGE',
    'is not a container image: it has neither the index.json of an OCI layout nor the manifest.json of a docker archive',
    { file: display },
  );
}

/** A reference from one part to another. */
interface Descriptor {
  digest: string;
  size: number;
  mediaType: string;
  annotations: Json;
  platform: Json | undefined;
}

class ImageReader {
  constructor(
    private readonly parts: ImageParts,
    private readonly display: string,
    private readonly choice: ImageChoice,
  ) {}

  ofLayout(): ContainerImage {
    const all = this.manifests(this.json('index.json'), 'index.json', 1);
    const manifest = this.chosen(all);
    const where = this.parts.where(manifest.name);
    const body = this.blob(manifest.descriptor);
    const config = this.descriptor(body['config'], manifest.name);
    const layers = arrayOf(body['layers'], () => this.refuse('names no layers', where)).map((layer) =>
      this.descriptor(layer, manifest.name),
    );
    const { settings, diffIds } = this.config(this.blob(config), blobName(config.digest), layers.length);
    return {
      config: settings,
      layers: layers.map((layer, index) => this.layer(layer, diffIds[index]!)),
    };
  }

  ofDockerArchive(): ContainerImage {
    const name = 'manifest.json';
    const where = this.parts.where(name);
    const all = arrayOf(this.json(name), () => this.refuse('is not a list of images', where)).map((image) => {
      const { Config: config, RepoTags: tags, Layers: layers } = asObject(image);
      if (typeof config !== 'string') return this.refuse('names no configuration', where);
      return {
        config,
        tags: Array.isArray(tags) ? tags.map(String) : [],
        layers: textsOf(layers, () => this.refuse('names no layers', where)),
      };
    });
    const image = this.byTag(
      all.map((each) => ({ ...each, names: each.tags })),
      where,
    );
    // The name of a configuration is its digest. The digests of layers in it are checked when the layers are read.
    const configBytes = this.bytes(image.config);
    const [digest] = /[0-9a-f]{64}/.exec(image.config) ?? [];
    if (digest !== undefined) this.checkDigest(configBytes, `sha256:${digest}`, image.config);
    const config = this.parse(configBytes, image.config);
    const { settings, diffIds } = this.config(config, image.config, image.layers.length);
    return {
      config: settings,
      layers: image.layers.map((layer, index) => {
        const source = this.part(layer);
        return { where: this.parts.where(layer), chunks: () => chunksOf(source), diffId: diffIds[index]! };
      }),
    };
  }

  /** All manifests of images that an index leads to. */
  private manifests(
    index: Json,
    name: string,
    depth: number,
    names: string[] = [],
  ): { descriptor: Descriptor; name: string; names: string[] }[] {
    const where = this.parts.where(name);
    if (depth > DEEPEST_INDEX) this.refuse('is an index that is nested too deeply', where);
    const list = arrayOf(index['manifests'], () => this.refuse('names no manifests', where));
    if (list.length > MOST_LAYERS)
      this.refuse(`names ${list.length} manifests, and the limit is ${MOST_LAYERS}`, where);
    return list.flatMap((each) => {
      const descriptor = this.descriptor(each, name);
      const own = descriptor.annotations[REF_NAME];
      const all = typeof own === 'string' ? [...names, own] : names;
      if (descriptor.mediaType.includes('index') || descriptor.mediaType.includes('manifest.list')) {
        return this.manifests(this.blob(descriptor), blobName(descriptor.digest), depth + 1, all);
      }
      return [{ descriptor, name: blobName(descriptor.digest), names: all }];
    });
  }

  private chosen(all: { descriptor: Descriptor; name: string; names: string[] }[]): {
    descriptor: Descriptor;
    name: string;
  } {
    const where = this.parts.where('index.json');
    // Attestations are in the same index as the images that they are about, with the platform "unknown".
    const images = all.filter(({ descriptor: { platform } }) => platform?.['os'] !== 'unknown');
    const wanted = this.choice.architecture;
    const fitting = images.filter(
      ({ descriptor: { platform } }) =>
        platform === undefined ||
        (platform['os'] === 'linux' &&
          (wanted === undefined || ARCHITECTURES[String(platform['architecture'])] === wanted)),
    );
    if (images.length > 0 && fitting.length === 0) {
      const there = images.map(
        ({ descriptor: { platform } }) => `${String(platform?.['os'])}/${String(platform?.['architecture'])}`,
      );
      this.refuse(
        `has no image for ${wanted === undefined ? 'Linux' : `Linux on ${wanted}`}, only for ${listed(there)}`,
        where,
      );
    }
    const different = [...new Map(fitting.map((each) => [each.descriptor.digest, each])).values()];
    const merged = different.map((each) => ({
      ...each,
      names: fitting
        .filter(({ descriptor }) => descriptor.digest === each.descriptor.digest)
        .flatMap(({ names }) => names),
    }));
    return this.byTag(merged, where);
  }

  private byTag<Image extends { names: string[] }>(images: Image[], where: ErrorWhere): Image {
    const { tag } = this.choice;
    const named = tag === undefined ? images : images.filter(({ names }) => names.some((name) => isNamed(name, tag)));
    const [only] = named;
    if (only !== undefined && named.length === 1) return only;
    const there = images.flatMap(({ names }) => names);
    const have = there.length === 0 ? 'no image has a name' : `there are ${listed(there)}`;
    if (tag !== undefined && only === undefined)
      return this.refuse(`has no image named "${shortened(tag)}": ${have}`, where);
    if (only === undefined) return this.refuse('contains no image', where);
    return this.refuse(`has ${named.length} images: select one with "tag" or "init" (${have})`, where);
  }

  /** The settings for the process, and the digests of the unpacked layers. */
  private config(json: Json, name: string, layerCount: number): { settings: ContainerConfig; diffIds: string[] } {
    const where = this.parts.where(name);
    const refuse = (what: string): never => this.refuse(what, where);
    const { architecture, os, config, rootfs } = json;
    if (os !== 'linux') refuse(`is for ${printable(String(os))}, but guests run Linux`);
    const arch = Object.hasOwn(ARCHITECTURES, String(architecture)) ? ARCHITECTURES[String(architecture)] : undefined;
    if (arch === undefined)
      return refuse(
        `is for the processor "${printable(shortened(String(architecture)))}", but guests have amd64 or arm64`,
      );
    if (this.choice.architecture !== undefined && arch !== this.choice.architecture) {
      refuse(`is for ${String(architecture)}, but "init" is "${this.choice.architecture}"`);
    }
    if (layerCount > MOST_LAYERS) refuse(`has ${layerCount} layers, and the limit is ${MOST_LAYERS}`);
    const diffIds = textsOf(asObject(rootfs)['diff_ids'], () => refuse('names no layers ("rootfs.diff_ids")'));
    if (diffIds.length !== layerCount) refuse(`describes ${diffIds.length} layers, but the image has ${layerCount}`);
    for (const id of diffIds) if (!isDigest(id)) refuse(`has "${shortened(id)}" instead of a digest`);
    const settings = asObject(config);
    const texts = (key: string): string[] =>
      settings[key] === undefined || settings[key] === null
        ? []
        : textsOf(settings[key], () => refuse(`must have a list of strings without NUL characters in "config.${key}"`));
    const text = (key: string): string => {
      const value = settings[key] ?? '';
      if (typeof value !== 'string' || value.includes('\0'))
        return refuse(`must have a string without NUL characters in "config.${key}"`);
      return value;
    };
    return {
      settings: {
        architecture: arch,
        entrypoint: texts('Entrypoint'),
        command: texts('Cmd'),
        environment: texts('Env'),
        workingDirectory: text('WorkingDir'),
        user: text('User'),
      },
      diffIds,
    };
  }

  private layer(descriptor: Descriptor, diffId: string): Layer {
    const { digest, mediaType } = descriptor;
    const name = blobName(digest);
    const where = this.parts.where(name);
    // The media type of a layer ends with its compression, and with "+encrypted" if it is encrypted. The first bytes of the layer
    // determine which compression it is.
    if (!/\btar(?:[.+](?:gzip|zstd))?$/.test(mediaType)) {
      this.refuse(`is a layer with the media type "${printable(shortened(mediaType))}", which is not supported`, where);
    }
    const source = this.part(name, descriptor.size);
    return { where, chunks: () => chunksOf(source), digest, diffId };
  }

  private descriptor(value: unknown, name: string): Descriptor {
    const { digest, size, mediaType = '', annotations, platform } = asObject(value);
    const where = this.parts.where(name);
    if (typeof digest !== 'string' || !isDigest(digest))
      return this.refuse('names a part without a valid digest (sha256 or sha512)', where);
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
      return this.refuse('names a part without a valid size', where);
    return {
      digest,
      size,
      mediaType: String(mediaType),
      annotations: asObject(annotations),
      platform: platform === undefined ? undefined : asObject(platform),
    };
  }

  /** A JSON part, with its digest checked. */
  private blob({ digest, size }: Descriptor): Json {
    const name = blobName(digest);
    const bytes = this.bytes(name, size);
    this.checkDigest(bytes, digest, name);
    return this.parse(bytes, name);
  }

  private checkDigest(bytes: Uint8Array, digest: string, name: string): void {
    const [algorithm = ''] = digest.split(':');
    const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
    if (actual === digest) return;
    const message = `has the digest ${actual}, but the image states ${digest}`;
    throw new IgvmError('CONTAINER_DIGEST', message, this.parts.where(name));
  }

  private json(name: string): Json {
    return this.parse(this.bytes(name), name);
  }

  private parse(bytes: Uint8Array, name: string): Json {
    try {
      const value: unknown = JSON.parse(new TextDecoder('utf8', { fatal: true }).decode(bytes));
      if (typeof value === 'object' && value !== null) return value as Json;
    } catch {
      // Reported below.
    }
    return this.refuse('is not valid JSON for a container image', this.parts.where(name));
  }

  private bytes(name: string, size?: number): Uint8Array {
    const source = this.part(name, size);
    if (source.size > LARGEST_JSON)
      this.refuse(`has ${source.size} bytes, and the limit is ${LARGEST_JSON}`, this.parts.where(name));
    const bytes = new Uint8Array(source.size);
    source.read(0, bytes);
    return bytes;
  }

  private part(name: string, size?: number): ByteSource {
    const source = this.parts.find(name);
    if (source === undefined)
      return this.refuse(`lacks "${printable(shortened(name))}", a part of the image`, { file: this.display });
    if (size !== undefined && source.size !== size) {
      const message = `has ${source.size} bytes, but the image states ${size}`;
      throw new IgvmError('CONTAINER_DIGEST', message, this.parts.where(name));
    }
    return source;
  }

  private refuse(what: string, where: ErrorWhere): never {
    throw new IgvmError('CONTAINER_IMAGE', what, where);
  }
}

/** The name of the part with a digest. The digest must have been checked, so that the name can't lead anywhere else. */
const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

const isDigest = (text: string): boolean => /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text);

/** Whether a tag selects an image: it is the image's full name, or the part of the name after the last colon. */
const isNamed = (name: string, tag: string): boolean => name === tag || name.slice(name.lastIndexOf(':') + 1) === tag;

const asObject = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

const arrayOf = (value: unknown, otherwise: () => never): unknown[] => (Array.isArray(value) ? value : otherwise());

function textsOf(value: unknown, otherwise: () => never): string[] {
  const items = arrayOf(value, otherwise);
  return items.every((item) => typeof item === 'string' && !item.includes('\0')) ? (items as string[]) : otherwise();
}

function listed(names: readonly string[]): string {
  const shown = [...new Set(names)].slice(0, 5).map((name) => `"${printable(shortened(name))}"`);
  return `${shown.join(', ')}${names.length > shown.length ? ', …' : ''}`;
}

/** The bytes of a source in pieces, each with its own buffer. */
export async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < source.size; offset += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, source.size - offset));
    source.read(offset, chunk);
    yield chunk;
  }
}
