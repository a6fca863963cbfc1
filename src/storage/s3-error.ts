/** What an S3 server refuses, as sentences that a user can act on. Codes: AWS's list of S3 errors, and those of Ceph and MinIO. */
import { HoldfastError, type ErrorCode } from '../base/errors.ts';
import { failureOf, type S3Failure } from '../client/s3/failure.ts';

export interface S3Scene {
  /** `s3:https://host/bucket/prefix` */
  readonly location: string;
  readonly bucket: string;
  /** Of AWS's files, when the configuration names one. */
  readonly profile: string | undefined;
  /** `https://host:port`, or AWS. */
  readonly server: string;
  /** What was tried: `write pack 1a2b3c4d`. */
  readonly what: string;
  /** The permission that it takes: `s3:PutObject`. */
  readonly action: string;
  readonly now: Date;
  /** The server has answered before, so that its name and port are right. */
  readonly reached: boolean;
}

interface Verdict {
  readonly code: ErrorCode;
  readonly why: string;
  readonly hint?: string | undefined;
  readonly transient?: boolean;
}

type Judge = (failure: S3Failure, scene: S3Scene) => Verdict;

/** The error to throw for a failed request. */
export function s3Error(thrown: unknown, scene: S3Scene): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const failure = failureOf(thrown);
  const { code, why, hint, transient = false } = (JUDGES.get(failure.code) ?? byStatus(failure))(failure, scene);
  return new HoldfastError(code, `cannot ${scene.what} in ${scene.location}: ${why}`, { ...(hint !== undefined && { hint }), transient, cause: thrown });
}

const denied = (why: string, hint: string): Judge => () => ({ code: 'storage-denied', why, hint });
const failed = (why: string, hint: string): Judge => () => ({ code: 'storage-failed', why, hint });
const later = (why: string): Judge => ({ code }) => ({ code: 'storage-failed', why: `${why} (${code})`, hint: 'Try again later. What was stored before is unharmed and will be used again.', transient: true });
const full = (why: string): Judge => () => ({ code: 'storage-full', why, hint: 'Free some space there or have the limit raised. What was stored before is unharmed and will be used again.' });

const accessDenied: Judge = (_failure, { bucket, action }) => ({
  code: 'storage-denied', why: 'the server denies it to these credentials', hint: `They need the permission ${action} on the bucket ${bucket}; or the bucket belongs to somebody else.`,
});

const noCredentials: Judge = ({ message }, { profile }) => ({
  code: 'secret-missing', why: profile === undefined ? `no credentials were found (${message})` : `the profile '${profile}' gives no credentials (${message})`,
  hint: profile === undefined ? 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write `credentials:` into holdfast.yaml.' : 'Is it in ~/.aws/credentials or ~/.aws/config of the user who runs this? A session of it may have to be renewed.',
});

const noBucket: Judge = (_failure, { bucket, server }) => ({
  code: 'repository-missing', why: `there is no bucket '${bucket}' at ${server}`, hint: 'Check the name. `holdfast init` makes the bucket, when the credentials allow it.',
});

const otherRegion: Judge = ({ region }, { bucket }) => ({
  code: 'storage-failed', why: region === undefined ? `the bucket '${bucket}' must be spoken to in another region or at another endpoint` : `the bucket '${bucket}' is in the region ${region}`,
  hint: region === undefined ? 'Write the `region:` of the bucket into holdfast.yaml, or set AWS_REGION.' : `Write region: ${region}, or leave it out to have the server asked.`,
});

const skewed: Judge = ({ serverTime }, { now, server }) => {
  const minutes = serverTime === undefined ? undefined : Math.round((now.getTime() - serverTime.getTime()) / 60_000);
  const off = minutes === undefined ? 'is wrong' : `is ${Math.abs(minutes)} minutes ${minutes > 0 ? 'ahead of' : 'behind'} that of ${server}`;
  return { code: 'storage-failed', why: `the clock of this host ${off}, and it refuses requests that are not of now`, hint: 'Set the clock, best by NTP.' };
};

const unresolved: Judge = (_failure, { server, reached }) => ({
  code: 'storage-failed', why: `the name of ${server} cannot be resolved`, hint: 'Check the endpoint and the network. With `addressing: path` the name of the bucket is not part of the host name.', transient: reached,
});

const refused: Judge = (_failure, { server, reached }) => ({
  code: 'storage-failed', why: `nothing listens at ${server}`, hint: 'Is the server running, and are host and port of the endpoint right?', transient: reached,
});

const untrusted: Judge = ({ code }, { server }) => ({
  code: 'storage-failed', why: `the certificate of ${server} is signed by nobody that this host trusts (${code})`, hint: 'Name the PEM file of its authority with `ca:` in holdfast.yaml. Without that, anybody could be in between.',
});

const notS3: Judge = ({ status }, { server }) => ({
  code: 'storage-failed', why: `${server} answers${status === undefined || status === 0 ? '' : ` ${status}`} with something that is not S3`, hint: 'Check the endpoint: it is the address of the S3 API, not of a console or a web site; http or https; the right port.',
});

const JUDGES: ReadonlyMap<string, Judge> = new Map<string, Judge>([
  ['AccessDenied', accessDenied],
  ['Forbidden', accessDenied],
  ['AllAccessDisabled', accessDenied],
  ['AccountProblem', denied('there is a problem with the account', 'Ask the provider of the bucket.')],
  ['InvalidAccessKeyId', denied('the server does not know the access key', 'Check the access key, and that it belongs to this endpoint.')],
  ['SignatureDoesNotMatch', denied('the secret key does not belong to the access key', 'Check the secret key. If it is right, a proxy in between changes the requests.')],
  ['ExpiredToken', denied('the session token has expired', 'Get new credentials; for what runs by itself, use credentials that do not expire or a role.')],
  ['InvalidToken', denied('the server does not accept the session token', 'Check that access key, secret key and session token are of the same session.')],
  ['CredentialsProviderError', noCredentials],
  ['NoSuchBucket', noBucket],
  ['InvalidBucketName', (_failure, { bucket }) => ({ code: 'config', why: `'${bucket}' cannot be the name of a bucket`, hint: 'Names of buckets have 3 to 63 small letters, digits and hyphens.' })],
  ['PermanentRedirect', otherRegion],
  ['TemporaryRedirect', otherRegion],
  ['AuthorizationHeaderMalformed', otherRegion],
  ['IllegalLocationConstraintException', otherRegion],
  ['RequestTimeTooSkewed', skewed],
  ['RequestExpired', skewed],
  ['QuotaExceeded', full('the quota of the bucket or of its owner is used up')],
  ['StorageQuotaExceeded', full('the quota of the bucket or of its owner is used up')],
  ['InsufficientStorage', full('the server has no space left')],
  ['XMinioStorageFull', full('the server has no space left')],
  ['XMinioAdminBucketQuotaExceeded', full('the quota of the bucket is used up')],
  ['InvalidStorageClass', () => ({ code: 'config', why: 'the server does not know the storage class', hint: 'Leave `storage-class:` out of holdfast.yaml, or name one that the server has.' })],
  ['InvalidObjectState', failed('it lies in an archive class and must be thawed first', 'Have it restored to a class that can be read at once, and keep the bucket\'s life cycle from moving files of a repository.')],
  ['NotImplemented', failed('the server cannot do that', 'It speaks only a part of S3. Leave out what needs more: object lock, storage class.')],
  ['MethodNotAllowed', failed('the server does not allow the method', 'Check the endpoint: a part of S3, or something in between, is at work there.')],
  ['MissingContentLength', failed('the server or a proxy before it wants requests in another form (411)', 'Speak to the server directly, not through a proxy that changes requests.')],
  ['SlowDown', later('the server asks for fewer requests')],
  ['ServiceUnavailable', later('the server is overloaded or being restarted')],
  ['TooManyRequests', later('the server asks for fewer requests')],
  ['RequestLimitExceeded', later('the server asks for fewer requests')],
  ['InternalError', later('the server has a problem of its own')],
  ['RequestTimeout', later('the server waited too long for data')],
  ['OperationAborted', later('another request for the same is under way')],
  ['ConditionalRequestConflict', later('another request for the same is under way')],
  ['BadDigest', later('what arrived is not what was sent')],
  ['XAmzContentSHA256Mismatch', later('what arrived is not what was sent')],
  ['IncompleteBody', later('what arrived is not all that was sent')],
  ['ENOTFOUND', unresolved],
  ['EAI_AGAIN', (failure, scene) => ({ ...unresolved(failure, scene), transient: true })],
  ['ECONNREFUSED', refused],
  ['ECONNRESET', later('the connection was cut')],
  ['EPIPE', later('the connection was cut')],
  ['ECONNABORTED', later('the connection was cut')],
  ['ERR_STREAM_PREMATURE_CLOSE', later('the connection was cut')],
  ['ETIMEDOUT', later('the server does not answer')],
  ['TimeoutError', later('the server does not answer')],
  ['ENETUNREACH', later('the network cannot be reached')],
  ['EHOSTUNREACH', later('the host cannot be reached')],
  ['ENETDOWN', later('the network is down')],
  ['SELF_SIGNED_CERT_IN_CHAIN', untrusted],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', untrusted],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', untrusted],
  ['UNABLE_TO_GET_ISSUER_CERT', untrusted],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', untrusted],
  ['CERT_HAS_EXPIRED', failed('the certificate of the server has expired', 'Have it renewed; and is the clock of this host right?')],
  ['CERT_NOT_YET_VALID', failed('the certificate of the server is not valid yet', 'Is the clock of this host right?')],
  ['ERR_TLS_CERT_ALTNAME_INVALID', failed('the certificate of the server is for other names', 'Use the name that stands in it; with `addressing: path` the name of the bucket is not part of the host name.')],
  ['EPROTO', notS3],
  ['ERR_SSL_WRONG_VERSION_NUMBER', notS3],
  ['NotS3', notS3],
]);

/** For codes that nobody has listed, and answers without any. */
function byStatus({ code, status = 0, bare }: S3Failure): Judge {
  if (code.startsWith('HPE_') || code.startsWith('ERR_SSL_')) return notS3;
  if (status === 507) return full('the server has no space left');
  if (status === 429 || status >= 500 || status === 408) return status === 501 ? (JUDGES.get('NotImplemented') ?? unknown) : (failure) => ({ ...unknown(failure), hint: 'Try again later. What was stored before is unharmed and will be used again.', transient: true });
  if (status === 411) return JUDGES.get('MissingContentLength') ?? unknown;
  if (status === 401 || status === 403) return accessDenied;
  if (status === 301 || status === 307) return otherRegion;
  if (bare) return notS3;
  return unknown;
}

const unknown = ({ code, message, status }: S3Failure): Verdict => ({
  code: 'storage-failed', why: code === 'Nameless' ? `the server answers ${status ?? 'with an error'}` : message === '' || message === 'UnknownError' ? `the server answers ${code}` : `${code}: ${message}`,
  hint: 'Look up this answer in the documentation of the server.',
});
