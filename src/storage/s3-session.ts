/** The client of one bucket: made when it is first needed, moved to the region that the server names, its failures made into sentences. */
import { readFile } from 'node:fs/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { systemClock, type Clock } from '../base/clock.ts';
import { HoldfastError, messageOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { createS3Client } from '../client/s3/client.ts';
import { failureOf } from '../client/s3/failure.ts';
import { pathOf } from './layout.ts';
import { formatAddress, type S3Place } from './place.ts';
import { s3Error, type S3Scene } from './s3-error.ts';
import { sendOptions, type SendOptions } from './s3-put.ts';
import type { StoredFile } from './storage.ts';

/** What AWS calls its first region; servers of one region mostly take this name for it. */
export const FIRST_REGION = 'us-east-1';

/** What is tried, for messages. */
export interface Try {
  readonly what: string;
  /** `s3:GetObject` */
  readonly action: string;
  readonly signal?: AbortSignal | undefined;
}

export class S3Session {
  readonly location: string;
  readonly #place: S3Place<Secret>;
  readonly #clock: Clock;
  #client: Promise<S3Client> | undefined;
  #region: string;
  #reached = false;

  constructor(place: S3Place<Secret>, clock: Clock) {
    this.location = formatAddress(place);
    this.#place = place;
    this.#clock = clock;
    this.#region = place.region ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? FIRST_REGION;
  }

  get bucket(): string {
    return this.#place.bucket;
  }

  /** What all keys begin with. */
  get prefix(): string {
    return this.#place.prefix === '' ? '' : `${this.#place.prefix}/`;
  }

  key(file: StoredFile): string {
    return this.prefix + pathOf(file);
  }

  get region(): string {
    return this.#region;
  }

  /**
   * Runs one request. When the server names another region as the right one, and the configuration names none, the request goes
   * there, and so do all that follow. A signal that fires is thrown as its reason; all else as the error of `s3-error.ts`.
   */
  async send<T>(trying: Try, work: (client: S3Client, options: SendOptions) => Promise<T>): Promise<T> {
    trying.signal?.throwIfAborted();
    try {
      return await this.#attempt(trying, work);
    } catch (error) {
      trying.signal?.throwIfAborted();
      throw s3Error(error, this.#scene(trying));
    }
  }

  async #attempt<T>(trying: Try, work: (client: S3Client, options: SendOptions) => Promise<T>): Promise<T> {
    const region = this.#region;
    try {
      const result = await work(await this.#open(), sendOptions(trying.signal));
      this.#reached = true;
      return result;
    } catch (error) {
      const failure = failureOf(error);
      if (failure.status !== undefined) this.#reached = true;
      if (!this.#moveTo(failure.region, failure.status, region)) throw error;
      return await work(await this.#open(), sendOptions(trying.signal));
    }
  }

  /** Is there another region to try than the one that was tried? Calls at the same time move together. */
  #moveTo(named: string | undefined, status: number | undefined, tried: string): boolean {
    if (named === undefined || this.#place.region !== undefined || status === undefined || ![301, 307, 400, 403].includes(status)) return false;
    if (named === tried) return false;
    if (this.#region === tried) {
      this.#region = named;
      // Not closed: others may be waiting for its answers. Connections that nobody uses keep no process alive.
      this.#client = undefined;
    }
    return true;
  }

  async #open(): Promise<S3Client> {
    this.#client ??= this.#connect();
    return await this.#client;
  }

  async #connect(): Promise<S3Client> {
    const { endpoint, addressing, credentials, profile, caFile } = this.#place;
    return createS3Client({
      endpoint, region: this.#region, credentials, profile,
      addressing: addressing ?? (endpoint === undefined ? 'virtual' : 'path'),
      authority: caFile === undefined ? undefined : await readAuthority(caFile),
      clockOffsetMs: this.#clock.now().getTime() - systemClock.now().getTime(),
    });
  }

  #scene({ what, action }: Try): S3Scene {
    const { bucket, endpoint, profile } = this.#place;
    return { location: this.location, bucket, profile, server: endpoint ?? 'AWS', what, action, now: this.#clock.now(), reached: this.#reached };
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    (await client?.catch(() => undefined))?.destroy();
  }
}

async function readAuthority(file: string): Promise<string> {
  const hint = 'Write the path of a PEM file into `ca:` of holdfast.yaml.';
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new HoldfastError('config', `the certificate authority ${file} cannot be read: ${messageOf(error)}`, { hint, cause: error });
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new HoldfastError('config', `${file} holds no certificate`, { hint });
  return text;
}
