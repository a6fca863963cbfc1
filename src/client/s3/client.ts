/** A client of an S3 server, set up so that servers other than AWS understand it. It does not retry and has no opinion about backups. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, getCACertificates } from 'node:tls';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Secret } from '../../base/secret.ts';

export interface S3Access {
  /** `https://host:port`; undefined means AWS itself. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly addressing: 'path' | 'virtual';
  /** Undefined: where AWS's own tools look. */
  readonly credentials?: { readonly accessKey: Secret; readonly secretKey: Secret; readonly sessionToken?: Secret | undefined } | undefined;
  readonly profile?: string | undefined;
  /** PEM text of an authority to be trusted beside those that the system trusts. */
  readonly authority?: string | undefined;
  /** By how much requests are dated other than the system's clock says. */
  readonly clockOffsetMs: number;
}

const CONNECT_MS = 10_000;
/** A connection on which nothing moves for so long is given up, whoever else is watching it or not. */
const SILENCE_MS = 5 * 60_000;
/** More than the calls that anybody makes at once. */
const SOCKETS = 32;

const ignore = (): void => undefined;
/** What fails is thrown; the SDK would say some of it on stderr as well. */
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Thrown when a server answers with a web page: whatever it is, it is no S3. */
export class NotS3 extends Error {
  readonly status: number;

  constructor(status: number) {
    super('a web page in place of an answer');
    this.name = 'NotS3';
    this.status = status;
  }
}

/** Connects with the first request. Destroying the client closes its connections. */
export function createS3Client(access: S3Access): S3Client {
  const { endpoint, region, addressing, credentials, profile, clockOffsetMs } = access;
  const client = new S3Client({
    region, forcePathStyle: addressing === 'path', maxAttempts: 1, systemClockOffset: clockOffsetMs,
    // Newer checksums travel in a form that older servers answer with 411, or store as content.
    requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED',
    logger: SILENT,
    // It would cost a connection for each large request.
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({ connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS, logger: SILENT, ...agents(access) }),
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    ...(credentials && {
      credentials: {
        accessKeyId: credentials.accessKey.reveal(), secretAccessKey: credentials.secretKey.reveal(),
        ...(credentials.sessionToken && { sessionToken: credentials.sessionToken.reveal() }),
      },
    }),
  });
  client.middlewareStack.add((next) => async (args) => {
    const result = await next(args);
    refuseWebPage(result.response);
    return result;
  }, { step: 'deserialize', priority: 'low', name: 'refuseWebPage' });
  return client;
}

function agents({ endpoint, authority }: S3Access): { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent } {
  const options = { keepAlive: true, maxSockets: SOCKETS, scheduling: 'lifo', ...proxy(endpoint) } as const;
  if (endpoint?.startsWith('http:') === true) return { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent(options) };
  // Made once, not for each connection. Users have their authorities in the system's store, where other programs look, too.
  const secureContext = createSecureContext({ ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...(authority === undefined ? [] : [authority])])] });
  return { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent({ ...options, secureContext }) };
}

/** The proxy that the environment names, but never for a server on this host. */
function proxy(endpoint: string | undefined): { readonly proxyEnv?: NodeJS.ProcessEnv } {
  const host = endpoint === undefined ? '' : new URL(endpoint).hostname;
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || host.startsWith('127.') ? {} : { proxyEnv: process.env };
}

function refuseWebPage(response: unknown): void {
  const { headers, statusCode, body } = response as { headers?: Readonly<Record<string, string>>; statusCode?: number; body?: { destroy?(): void } };
  if (headers?.['content-type']?.startsWith('text/html') !== true) return;
  body?.destroy?.();
  throw new NotS3(statusCode ?? 0);
}
