/** What a failed request to an S3 server tells, whatever part of the SDK it comes from, or of an error of ours that was caused by it. */
import { HoldfastError, systemCode } from '../../base/errors.ts';
import { NotS3 } from './client.ts';

export interface S3Failure {
  /** The code of S3 (`NoSuchKey`), of the system (`ECONNREFUSED`) or of TLS; `NotS3` for a server that speaks something else. */
  readonly code: string;
  /** What the server or the system says; holds no secret. */
  readonly message: string;
  /** Of the HTTP answer, when there was one. */
  readonly status: number | undefined;
  /** The region that the server names as the right one. */
  readonly region: string | undefined;
  /** The server's clock, when its answer told. */
  readonly serverTime: Date | undefined;
  /** The answer had no document that says what was wrong, as answers to HEAD have none. */
  readonly bare: boolean;
}

interface SdkError extends Error {
  readonly Code?: string;
  readonly Region?: string;
  readonly BucketRegion?: string;
  readonly ServerTime?: string | Date;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** Names that the SDK makes up for an answer without an error document. */
const NAMELESS = /^(Unknown(Error)?|Error|\d{3}|SyntaxError|undefined)$/;

export function failureOf(met: unknown): S3Failure {
  const thrown = met instanceof HoldfastError ? met.cause : met;
  if (thrown instanceof NotS3) return { code: 'NotS3', message: thrown.message, status: thrown.status, region: undefined, serverTime: undefined, bare: false };
  const error = (thrown instanceof Error ? thrown : new Error(String(thrown))) as SdkError;
  const headers = error.$response?.headers ?? {};
  const status = error.$response?.statusCode ?? error.$metadata?.httpStatusCode;
  const system = deepCode(error);
  const said = error.Code ?? error.name;
  const nameless = status !== undefined && NAMELESS.test(said);
  const time = error.ServerTime ?? headers['date'];
  return {
    code: status === undefined ? (system ?? said) : nameless ? 'Nameless' : said,
    message: error.message, status,
    region: error.Region ?? error.BucketRegion ?? headers['x-amz-bucket-region'] ?? expectedRegion(error.message),
    serverTime: time === undefined ? undefined : new Date(time),
    bare: nameless,
  };
}

/** `the region 'us-east-1' is wrong; expecting 'eu-west-1'` */
function expectedRegion(message: string): string | undefined {
  return /region '[^']*' is wrong; expecting '([^']+)'/.exec(message)?.[1];
}

/** A failed connection hides its code in the cause, or in the first of several tried addresses. */
function deepCode(error: unknown): string | undefined {
  if (error instanceof AggregateError) return systemCode(error) ?? deepCode(error.errors[0]);
  if (!(error instanceof Error)) return undefined;
  return systemCode(error) ?? deepCode(error.cause);
}
